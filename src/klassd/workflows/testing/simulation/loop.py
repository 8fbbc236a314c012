"""An event loop on which a part of the tasks can be made to stand still: a process that is paused, or dead."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from asyncio import Handle
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from typing import Any

from klassd.workflows.testing.clock import VirtualLoop, Waiting

SPINS = 200_000  # turns of the loop without any time passing, after which it is taken for an endless circle

Held = list[Handle]
frozen_by: ContextVar[object] = ContextVar("frozen_by")  # the process a task belongs to


class Circle(RuntimeError):
    """Something goes on for ever without waiting for anything."""


class SimLoop(VirtualLoop):
    """Serves no sockets. A turn of a frozen process is kept for later, in order; its timers go off unheard."""

    def __init__(self) -> None:
        super().__init__(_Timeless)
        self._ready: Any
        self._frozen: dict[object, Held] = {}

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        handle = Handle(callback, args, self, context)
        if self._frozen and (held := self._held(handle)) is not None:
            held.append(handle)
        else:
            self._ready.append(handle)
        return handle

    def freeze(self, process: object) -> None:
        """No code of it runs from here on, not even what was ready to."""
        held = self._frozen.setdefault(process, [])
        for place, handle in enumerate(self._ready):
            if self._held(handle) is held:
                held.append(handle)
                self._ready[place] = Handle(_nothing, (), self)

    def thaw(self, process: object) -> None:
        self._ready.extend(self._frozen.pop(process, ()))

    def _held(self, handle: Handle) -> Held | None:
        context: Context = handle._context  # type: ignore[attr-defined]
        return self._frozen.get(context.get(frozen_by))


class _Timeless(Waiting):
    """Asks the system for nothing: that is half of what a turn of the loop costs."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(loop)
        self._spins = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            self._spins += 1
            if self._spins > SPINS:
                raise Circle(f"{SPINS:,} turns and no time has passed")
            return []
        self._spins = 0
        if timeout is None:
            raise self._loop.deadlock()
        self._loop.pass_time(timeout)
        return []


def _nothing() -> None:
    return None


def abandon(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Tasks that will never end: asyncio need not complain, and no code of theirs runs at some later moment."""
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        if not task.done():
            with contextlib.suppress(BaseException):
                task.get_coro().close()

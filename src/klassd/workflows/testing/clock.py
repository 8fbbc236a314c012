"""Time for tests: a clock that is moved by hand, and an event loop on which waiting takes no time.

``run_virtual(coroutine)`` runs any asyncio code so that a sleep of five minutes ends at once and a timeout of an hour still
comes after it: when nothing is ready, the loop's clock jumps to the next timer. The order of things is that of the timers,
so the same code takes the same course every time.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_767_225_600.0  # 2026-01-01 00:00 UTC


class Deadlock(RuntimeError):
    """Everything waits for something, and no timer is left that could bring it."""


class FakeClock:
    """``ports.Clock`` that stands still until ``advance``. ``start``: wall time in seconds since the epoch."""

    def __init__(self, start: float = START) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Until the clock has been advanced by that much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._passed + seconds, self._count, woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Let time pass and wake whoever is due, the earliest first. They run when the caller next awaits."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: advance({seconds:g})")
        self._passed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._passed:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def jump(self, seconds: float) -> None:
        """Set the wall clock, and only it, forward or back: what an administrator or NTP does."""
        self._start += seconds

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return sum(not woken.done() for _, _, woken in self._sleepers)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time passes only by jumps to the next timer.

    Work given to threads (``asyncio.to_thread``) is waited for in real time while virtual time stands still. Sockets and
    pipes are served when they are ready, and waited for only when no timer is left.
    """

    def __init__(self, waiting: type[Waiting] | None = None) -> None:
        self._passed = 0.0
        self._horizon: tuple[float, float] | None = None
        self._on_threads = 0
        self._waiting = (waiting or Waiting)(self)
        super().__init__(self._waiting)
        self._clock_resolution = 1e-6  # of a float that may stand for years

    def time(self) -> float:
        return self._passed

    def run_until(self, when: float, moment: float = 0.0) -> None:
        """Let everything happen that is due by then, or at most ``moment`` seconds later; then it is ``when``, at least."""
        self._horizon = when, moment
        try:
            self.run_forever()
        finally:
            self._horizon = None

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._on_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *_: Any) -> None:
        self._on_threads += 1  # it waits for a thread of its own
        try:
            await super().shutdown_default_executor()
        finally:
            self._on_threads -= 1

    def _thread_done(self, _: object) -> None:
        self._on_threads -= 1

    def pass_time(self, timeout: float | None) -> bool:
        """Nothing is ready and the next timer is ``timeout`` away (None: there is none): jump there. False: something
        outside may come instead, wait for that."""
        if self._on_threads:
            return False
        if self._horizon is not None and self._beyond(timeout, *self._horizon):
            self._passed = max(self._passed, self._horizon[0])
            self.stop()
            return True
        if timeout is not None:
            self._passed += timeout
            return True
        if len(self._waiting.get_map()) > 1:  # more than the loop's own wake-up
            return False
        raise self.deadlock()

    def deadlock(self) -> Deadlock:
        return Deadlock(_deadlock(asyncio.all_tasks(self)))

    def _beyond(self, timeout: float | None, when: float, moment: float) -> bool:
        return timeout is None or self._passed + timeout > when + moment


class Waiting(selectors.DefaultSelector):
    """What a ``VirtualLoop`` does instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0 or self._loop.pass_time(timeout):
            return ready
        return super().select(None)


class VirtualClock:
    """``ports.Clock`` of the running ``VirtualLoop``. ``start``: the wall time at which the loop began."""

    def __init__(self, start: float = START) -> None:
        self._start = start
        self._loop = asyncio.get_running_loop()
        if not isinstance(self._loop, VirtualLoop):
            found = type(self._loop).__name__
            raise RuntimeError(f"VirtualClock belongs to a VirtualLoop, found {found}: start it with run_virtual(...)")

    def now(self) -> float:
        return self._start + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in virtual time, close whatever it left and return what it returned.

    Raises ``Deadlock`` when nothing is left that could happen. Not callable while a loop runs in this thread.
    """
    try:
        runner = virtual_runner()
    except RuntimeError:
        coroutine.close()
        raise
    with runner:
        return runner.run(coroutine)


def virtual_runner() -> asyncio.Runner:
    """Raises RuntimeError while a loop runs in this thread."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "this test runs on an event loop already, and virtual time needs a loop of its own: "
            "call it from a plain (not async) test, or with `await asyncio.to_thread(...)`"
        )
    return asyncio.Runner(loop_factory=VirtualLoop)


def _deadlock(tasks: set[asyncio.Task[Any]]) -> str:
    waiting = "".join(f"\n  - {_place(task)}" for task in sorted(tasks, key=asyncio.Task.get_name))
    return f"deadlock: nothing is left that could happen, and {len(tasks)} task(s) wait:{waiting}"


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    where = f"{frames[0].f_code.co_filename}:{frames[0].f_lineno} in {frames[0].f_code.co_name}" if frames else "not begun"
    return f"{task.get_name()}, at {where}"

"""Follows one execution to its end, whoever started it and whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from signal import SIGKILL

from klassd.workflows.executors.local import identity
from klassd.workflows.executors.local.spool import Spool
from klassd.workflows.model.execution import Exit, Finished, Told
from klassd.workflows.model.states import Cause

log = logging.getLogger("klassd.workflows")

POLL = 0.1  # seconds between looks at an execution that nobody reports on
FIRST = 0.004  # seconds that the first look waits for each execution under way, at most LATEST: when there are many, most
LATEST = 0.05  # have ended by then and are told, and stored, in one go instead of three
SPACING = 0.02  # seconds between two batches of one console: a line every millisecond is no reason for 1,000 writes a second
LOOK = 10.0  # seconds between looks at one that its template reports on: a hint may be lost, a state may not


class Watch:
    """Whether an execution has news. Set from outside, waited for by its follower."""

    __slots__ = ("_loop", "_news", "_over", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = False
        self._over: Callable[[], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._news = True
        if self._over is None or self._over():
            self._release()

    def clear(self) -> None:
        self._news = False

    async def wait(self, seconds: float) -> None:
        """Until there is news since ``clear``, at most so long."""
        if not self._news:
            await self._pause(seconds)

    async def rest(self, seconds: float, over: Callable[[], bool]) -> None:
        """So long, whatever news there is, unless it is ``over``."""
        if not over():
            self._over = over
            await self._pause(seconds)
            self._over = None

    async def _pause(self, seconds: float) -> None:
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._release)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _release(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Watches:
    """The followers of this process, by execution."""

    def __init__(self) -> None:
        self._watches: dict[str, list[Watch]] = {}

    def add(self, execution_id: str) -> Watch:
        watch = Watch()
        self._watches.setdefault(execution_id, []).append(watch)
        return watch

    def remove(self, execution_id: str, watch: Watch) -> None:
        self._watches[execution_id].remove(watch)
        if not self._watches[execution_id]:
            del self._watches[execution_id]

    def wake(self, execution_id: str) -> None:
        for watch in self._watches.get(execution_id, ()):
            watch.wake()


async def follow(
    spool: Spool, watches: Watches, reported: Collection[str], lives: Callable[[Spool], Awaitable[bool]]
) -> AsyncGenerator[Sequence[Told], None]:
    """``reported``: the executions whose templates wake their watches; ``lives``: whether its supervisor still has it."""
    watch = watches.add(spool.execution_id)
    try:
        await watch.rest(min(FIRST * len(reported), LATEST), over=lambda: spool.execution_id not in reported)
        while not spool.finished:
            watch.clear()
            batch = spool.read()
            if not batch and not spool.more and (spool.gone or not await lives(spool)):
                batch = await _last_words(spool)
            if batch:
                yield batch
            if batch and isinstance(batch[-1], Finished):
                return
            if not spool.more:
                if batch:
                    await watch.rest(SPACING, over=lambda: spool.execution_id not in reported)
                await watch.wait(LOOK if spool.execution_id in reported else POLL)
    finally:
        watches.remove(spool.execution_id, watch)


async def _last_words(spool: Spool) -> list[Told]:
    """Its supervisor is gone, so what stands in the files now is all there will ever be."""
    if spool.gone:
        return await _nothing_there(spool)
    return spool.read() or spool.record() or [Finished(exit=await _bury(spool), at=time.time())]


async def _nothing_there(spool: Spool) -> list[Told]:
    """Its files are gone. Nothing is told where somebody starts it this very moment."""
    how = "it was never started" if spool.unknown else "it is done and forgotten, or its files were removed"
    if not spool.forbid():
        return []
    if not await _kill_unseen(spool) and (record := spool.record()):
        return record
    return [Finished(exit=_lost(f"nothing is known of {spool.execution_id} here: {how}"), at=time.time())]


async def _kill_unseen(spool: Spool) -> bool:
    """Where they were removed under a job that runs: and the next attempt must not overlap with it."""
    job, killed = spool.job, False
    while job and spool.hello and spool.hello.boot == identity.boot_id() and identity.is_alive(job.pid, job.start):
        identity.send(job.pid, job.start, SIGKILL, group=True)
        killed = True
        await asyncio.sleep(0.01)
    return killed


async def _bury(spool: Spool) -> Exit:
    """See to it that nothing of a lost execution lives on: the next attempt must not overlap with it."""
    hello = spool.hello
    if hello is None:
        return _lost(f"what stands in the spool file of {spool.execution_id} cannot be read")
    if hello.boot != identity.boot_id():
        return _lost("the machine was restarted while it ran")
    if identity.is_alive(hello.pid, hello.start):
        return _lost(f"its supervisor (pid {hello.pid}) ended it and could not record its outcome; is the disk full?")
    job = (spool.job.pid, spool.job.start) if spool.job else None
    pause = 0.002
    while count := identity.kill_left_behind(hello.sock or spool.execution_id, job, hello.start):
        if pause >= 1.0:
            log.warning("%d process(es) of lost execution %s do not die", count, spool.execution_id)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 5.0)
    return _lost(f"its supervisor (pid {hello.pid}) died and left no outcome")


def _lost(message: str) -> Exit:
    return Exit(reason=Cause.LOST, message=message)

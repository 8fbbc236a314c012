"""A simulated process: a clock that may be wrong, tasks that may be paused or killed, ids that are drawn from the seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import Any

from klassd.workflows.system import make_run_id
from klassd.workflows.testing.clock import START
from klassd.workflows.testing.simulation.loop import SimLoop, abandon, frozen_by


class SimClock:
    """``ports.Clock``: ``skew`` seconds wrong, and only on the wall."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.skew = 0.0

    def now(self) -> float:
        return START + self._loop.time() + self.skew

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimIds:
    """``ports.Ids`` from the seed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def run_id(self, now: float) -> str:
        return make_run_id(now, self._rng.getrandbits(50))

    def token(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"


class SimProcess:
    """``ports.Spawner`` too. ``failed``: told of every task that ends with an exception."""

    def __init__(self, name: str, loop: SimLoop, failed: Callable[[SimProcess, str, BaseException], None]) -> None:
        self.name = name
        self.clock = SimClock(loop)
        self.dead = False
        self.paused = False
        self.no_store_until = self.no_cluster_until = self.no_renewal_until = 0.0
        self._loop, self._failed = loop, failed
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.context: Context = copy_context()
        self.context.run(frozen_by.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, name=name, context=self.context)
        self._tasks[task] = None
        task.add_done_callback(self._done, context=self.context)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            self._failed(self, task.get_name(), error)

    async def close(self) -> None:
        mine = asyncio.current_task()
        while tasks := [task for task in self._tasks if task is not mine]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- what happens to processes ------------------------------------------------------------------------------

    def kill(self) -> None:
        """Not one more step of it, and nothing it would do on its way out."""
        self.dead = True
        self._loop.freeze(self)

    def abandon(self) -> None:
        abandon(list(self._tasks))

    def pause(self) -> None:
        self.paused = True
        self._loop.freeze(self)

    def resume(self) -> None:
        if self.paused and not self.dead:
            self.paused = False
            self._loop.thaw(self)

    @property
    def running(self) -> bool:
        return not self.dead and not self.paused

"""The real world behind the seams: clock, ids, tasks."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("klassd.workflows")

# Counts a suspended machine's time too, as a lease must, and means the same in every process since the machine's start.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


class SystemClock:
    """``ports.Clock`` on the machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.clock_gettime(_STEADY)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemIds:
    """``ports.Ids`` from the system's randomness."""

    def run_id(self, now: float) -> str:
        return make_run_id(now, secrets.randbits(50))

    def token(self) -> str:
        return secrets.token_hex(16)


def make_run_id(now: float, random_bits: int) -> str:
    """50 bits of milliseconds (till the year 37,000), then 50 random bits: a clash takes the same millisecond and bits."""
    number = (int(now * 1000) << 50) | random_bits
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(95, -1, -5))


class TaskSpawner:
    """``ports.Spawner`` on asyncio: holds its tasks, reports the one that raises, ends them together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("task %s failed: %s", task.get_name(), error, exc_info=error)

    async def close(self) -> None:
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

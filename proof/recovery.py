"""How long the runs of a killed scheduler are nobody's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from proof.stores import SqliteFile

LOOK = 0.05  # seconds


class Recovery:
    """Seconds from the kill until none of its runs is its own any more. ``able``: whether anybody could take them at this
    moment; time in which nobody could, because they were killed too or the store was locked, is not counted."""

    def __init__(self, store: SqliteFile, able: Callable[[], bool]) -> None:
        self._store, self._able = store, able
        self._waiting: dict[str, float] = {}  # owner -> seconds so far
        self.seconds: list[float] = []

    def killed(self, owner: str) -> None:
        self._waiting[owner] = 0.0

    async def watch(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            await self._look(now - before)
            before = now

    async def _look(self, passed: float) -> None:
        able = self._able()
        for owner in list(self._waiting):
            if await asyncio.to_thread(self._store.runs_of, owner) == 0:
                self.seconds.append(self._waiting.pop(owner))
            elif able:
                self._waiting[owner] += passed

    def percentile(self, percent: float) -> float:
        ordered = sorted([*self.seconds, *self._waiting.values()])
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0

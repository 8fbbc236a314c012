"""Whether this scheduler can do its work: the store answers, and its lease is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from klassd.workflows.errors import StoreError
from klassd.workflows.ports import Clock, Store

FRESH = 1.0  # seconds that an answer holds: however many ask, the store is asked that often
PATIENCE = 5.0  # seconds for the store to answer


class Readiness:
    """``lease_held``: set once there is a scheduler, and again when it is about to leave."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._unreachable = ""
        self.lease_held: Callable[[], bool] = lambda: False

    async def why_not(self) -> str:
        """Empty when it is ready. A sentence of ours, never a store's: whoever asks may be a stranger."""
        if not self.lease_held():
            return "the scheduler holds no lease"
        async with self._asking:
            if self._clock.monotonic() - self._asked >= FRESH:
                self._unreachable = await self._look()
                self._asked = self._clock.monotonic()
        return self._unreachable

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.next_due(self._clock.now())
        except (StoreError, TimeoutError):
            return "the store does not answer"
        return ""

"""This scheduler's lease: who owns runs is who renews in time.

The store's clock decides when a lease has run out. The holder trusts its own monotonic clock only, and less: it stops starting
anything once two thirds of the lease have passed since it *asked* for the last renewal that was granted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from klassd.workflows.crashes import mark
from klassd.workflows.errors import StoreError
from klassd.workflows.ports import Clock, Store

log = logging.getLogger("klassd.workflows")


class Lease:
    """``lapsed``: called when the lease had run out before it was renewed; nothing is safe again until that returned."""

    def __init__(self, store: Store, clock: Clock, owner: str, ttl: float, lapsed: Callable[[], Awaitable[None]]) -> None:
        self._store, self._clock, self._lapsed = store, clock, lapsed
        self.owner, self.ttl = owner, ttl
        self.until = 0.0  # Clock.monotonic() at which the granted lease has surely not run out yet
        self._renewed = asyncio.Event()
        self._in_doubt = False

    @property
    def safe(self) -> bool:
        return self._clock.monotonic() < self.until - self.ttl / 3

    async def held(self) -> None:
        """Wait until the lease is safe to act under."""
        while not self.safe:
            self._renewed.clear()
            await self._renewed.wait()

    async def renew(self) -> None:
        asked = self._clock.monotonic()
        mark("before:renew")
        in_time = await self._store.renew(self.owner, self.ttl)
        mark("after:renew")
        if self.until and (asked >= self.until or not in_time):  # a store may have forgotten an owner of long ago
            log.warning("the lease of %s had run out; runs that others took meanwhile are let go", self.owner)
            self._in_doubt = True
        if self._in_doubt:
            await self._lapsed()
            self._in_doubt = False
        self.until = asked + self.ttl
        self._renewed.set()

    async def keep(self) -> None:
        while True:
            await self._clock.sleep(self.ttl / 3)
            try:
                await self.renew()
            except StoreError as error:
                log.warning("the lease of %s could not be renewed: %s", self.owner, error)

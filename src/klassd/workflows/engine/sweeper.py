"""Retention: removes what finished longer ago than it is to be kept, in the background."""

from __future__ import annotations

import logging

from klassd.workflows.errors import ArtifactError, StoreError
from klassd.workflows.ports import Clock, Store
from klassd.workflows.pruning import DeleteArtifacts, prune

log = logging.getLogger("klassd.workflows")

FIRST = 30.0  # seconds until the first look: a start has better things to do
SWEEP = 600.0  # seconds between looks
BATCH = 50  # runs of one transaction: with a few executions each, 5 ms in which nobody else writes to SQLite
PAUSE = 0.05  # seconds between two batches, so that others get their turn; leaves 1,000 runs a second
STAY = "old runs stay, as their artifacts cannot be removed (may the scheduler not? then set keep_artifacts = true)"


class Sweeper:
    """``retention``: seconds. Any number of schedulers may sweep the same store: what is removed twice is gone once."""

    def __init__(self, store: Store, clock: Clock, retention: float, delete_artifacts: DeleteArtifacts) -> None:
        self._store, self._clock = store, clock
        self._retention, self._delete = retention, delete_artifacts
        self._began = clock.now() - clock.monotonic()

    async def keep(self) -> None:
        await self._clock.sleep(FIRST)
        while True:
            try:
                await self._sweep()
            except StoreError as error:
                log.warning("old runs cannot be removed, trying again in %g s: %s", SWEEP, error)
            except ArtifactError as error:
                log.warning("%s, trying again in %g s: %s", STAY, SWEEP, error)
            await self._clock.sleep(SWEEP)

    async def _sweep(self) -> None:
        before, removed = self._now() - self._retention, 0
        while found := await prune(self._store, self._delete, before, BATCH):
            removed += found
            await self._clock.sleep(PAUSE)
        if removed:
            log.info("removed %d run(s) that finished longer ago than they are kept", removed, extra={"removed": removed})

    def _now(self) -> float:
        """A wall clock that is set ahead while a scheduler runs makes no run old: what is gone does not come back."""
        return min(self._clock.now(), self._began + self._clock.monotonic())

"""Removes runs that finished long ago, with their artifacts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from klassd.workflows.crashes import mark
from klassd.workflows.model.run import Run
from klassd.workflows.ports import Store

DeleteArtifacts = Callable[[Sequence[Run]], Awaitable[None]]


async def keep_artifacts(runs: Sequence[Run]) -> None:
    """Where something else removes them, or there are none."""


async def prune(store: Store, delete_artifacts: DeleteArtifacts, before: float, limit: int) -> int:
    """Up to ``limit`` of the runs that finished before, the oldest first; how many there were.

    Their artifacts go first: a crash in between leaves runs, which are found again, and no artifact of a run that nobody knows.
    Raises ``StoreError``, ``ArtifactError``.
    """
    runs = await store.finished(before, limit)
    if runs:
        await delete_artifacts(runs)
        mark("before:prune")
        await store.prune([run.id for run in runs])
        mark("after:prune")
    return len(runs)

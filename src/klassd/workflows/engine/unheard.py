"""Runs that a claim gave us and whose names never arrived, because its answer was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container

from klassd.workflows.model.page import ExecutionQuery, RunQuery
from klassd.workflows.model.run import Execution, LoadedRun
from klassd.workflows.model.states import RunStatus
from klassd.workflows.ports import Store

UNDER_WAY = (RunStatus.RUNNING, RunStatus.CANCELLING)
PAGE = 500  # rows read at once


async def unheard(store: Store, owner: str, known: Container[str]) -> AsyncIterator[LoadedRun]:
    """Runs that are this owner's in the store and not ``known``. Nobody else takes them while its lease lives."""
    after: str | None = None
    while True:
        page = await store.list_runs(RunQuery(statuses=UNDER_WAY, limit=PAGE, after=after))
        for run in page.items:
            if run.owner == owner and run.id not in known and (loaded := await _load(store, owner, run.id)):
                yield loaded
        if (after := page.next) is None:
            return


async def _load(store: Store, owner: str, run_id: str) -> LoadedRun | None:
    """What the claim would have given. Read in parts, since nobody but the owner writes it."""
    run = await store.get_run(run_id)
    definition = await store.get_definition(run.definition) if run else None
    if run is None or definition is None or run.status.final or run.owner != owner:
        return None
    nodes = await store.list_nodes(run_id)
    return LoadedRun(run=run, definition=definition, nodes=tuple(nodes), executions=await _executions(store, run_id))


async def _executions(store: Store, run_id: str) -> tuple[Execution, ...]:
    found: list[Execution] = []
    after: str | None = None
    while True:
        page = await store.list_executions(ExecutionQuery(run_id=run_id, limit=PAGE, after=after))
        found += page.items
        if (after := page.next) is None:
            return tuple(found)

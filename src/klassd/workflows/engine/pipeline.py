"""The ordered commits of one run.

A decision is applied in memory at once and committed here in order. What piles up while one commit is under way goes together
in the next one, as one change: so a burst of events costs a few transactions, and no event waits for another's disk.
Effects (launch, stop, reap) run only after their change is committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.errors import StoreError, Unstorable
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, NodeRow, RunPatch, over_node
from klassd.workflows.ports import Clock, Spawner, Store

log = logging.getLogger("klassd.workflows")

LINGER = 0.010  # a mark or a line of console that no decision waits for may wait this long for company
BACKLOG = 4 * 1024 * 1024  # bytes of console waiting for the store before the reader of a console is held back
RETRY_FIRST, RETRY_MOST = 0.05, 5.0  # between tries while the store is unavailable

Effect = Callable[[], object]


class Pipeline:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        spawner: Spawner,
        run_id: str,
        lost: Callable[[], None],
        spoiled: Callable[[Exception], None],
    ) -> None:
        self._store, self._clock, self._spawner = store, clock, spawner
        self._run_id, self._lost, self._spoiled = run_id, lost, spoiled
        self._changes: list[Change] = []
        self._effects: list[Effect] = []
        self._bytes = 0
        self._flushing = False
        self._lingering = False
        self._closed = False
        self._drained = asyncio.Event()
        self._drained.set()

    def add(self, change: Change, effects: Iterable[Effect] = ()) -> None:
        if self._closed:
            return
        self._changes.append(change)
        self._effects.extend(effects)
        self._bytes += sum(len(chunk.data) for _, chunk in change.logs)
        if self._flushing:
            return
        if self._effects or change.durable or self._bytes > BACKLOG:
            self._start()
        elif not self._lingering:
            self._lingering = True
            self._spawner.spawn(self._linger(), "linger")

    async def room(self) -> None:
        """Wait while more console than ``BACKLOG`` is on its way to the store."""
        while self._bytes > BACKLOG and not self._closed:
            self._drained.clear()
            await self._drained.wait()

    async def flushed(self) -> None:
        """Wait until everything added so far is committed (or the run is lost)."""
        if self._changes and not self._flushing and not self._closed:
            self._start()
        while (self._flushing or self._changes) and not self._closed:
            self._drained.clear()
            await self._drained.wait()

    def close(self) -> None:
        self._closed = True
        self._changes, self._effects, self._bytes = [], [], 0
        self._drained.set()

    def _start(self) -> None:
        self._flushing = True
        self._spawner.spawn(self._flush(), "flush")

    async def _linger(self) -> None:
        await self._clock.sleep(LINGER)
        self._lingering = False
        if self._changes and not self._flushing and not self._closed:
            self._start()

    async def _flush(self) -> None:
        while self._changes and not self._closed:
            changes, self._changes = self._changes, []
            effects, self._effects = self._effects, []
            self._bytes = 0
            try:
                accepted = await self._commit(merged(changes))
            except Unstorable as error:  # trying again cannot help: the run ends with that instead
                self._changes, self._effects = [], []
                self._spoiled(error)
                continue
            if not accepted:
                self._lost()
                return
            for effect in effects:
                effect()
            self._drained.set()
        self._flushing = False
        self._drained.set()

    async def _commit(self, change: Change) -> bool:
        """Try until the store answers: the commit is idempotent, so a lost acknowledgement does no harm."""
        wait = RETRY_FIRST
        while True:
            try:
                mark("before:commit", lambda: _kinds(change))
                (accepted,) = await self._store.commit([change])
                mark("after:commit", lambda: _kinds(change))
                return accepted or await self._was_ours(change)
            except StoreError as error:
                log.warning("run %s: the store is unavailable, trying again in %.2g s: %s", self._run_id, wait, error)
                await self._clock.sleep(wait)
                wait = min(wait * 2, RETRY_MOST)

    async def _was_ours(self, change: Change) -> bool:
        """A change that ended the run is refused when it is repeated after a lost acknowledgement: it stands already."""
        if change.run is None or change.run.status is None or not change.run.status.final:
            return False
        run = await self._store.get_run(change.run_id)
        return run is not None and run.epoch == change.epoch and run.status == change.run.status


def _kinds(change: Change) -> list[str]:
    """What it says, in the words of ``crashes.MARKS``."""
    over = any(patch.status is not msgspec.UNSET and patch.status.final for patch in change.updated)
    said = {
        "started": change.started,
        "expanded": any(row.items is not None for row in change.nodes),
        "marks": change.updated and not over,
        "console": change.logs,
        "outcome": over,
        "final": change.run is not None and change.run.status is not None and change.run.status.final,
    }
    return [kind for kind, holds in said.items() if holds]


def merged(changes: list[Change]) -> Change:
    """Consecutive changes of one run and epoch as one: each row once, with its last values."""
    if len(changes) == 1:
        return changes[0]
    nodes: dict[str, NodeRow] = {}
    started: dict[str, Execution] = {}
    updated: dict[str, ExecutionPatch] = {}
    run: RunPatch | None = None
    for change in changes:
        run = _over(run, change.run) if run and change.run else (change.run or run)
        for node in change.nodes:
            nodes[node.name] = over_node(nodes.get(node.name), node)
        for execution in change.started:
            started[execution.id] = execution
        for patch in change.updated:
            if patch.id in started:
                started[patch.id] = _patched(started[patch.id], patch)
            else:
                updated[patch.id] = _over(updated[patch.id], patch) if patch.id in updated else patch
    return Change(
        run_id=changes[0].run_id,
        epoch=changes[0].epoch,
        run=run,
        nodes=tuple(nodes.values()),
        started=tuple(started.values()),
        updated=tuple(updated.values()),
        logs=tuple(entry for change in changes for entry in change.logs),
    )


P = TypeVar("P", ExecutionPatch, RunPatch)


def _over(before: P, after: P) -> P:
    return msgspec.structs.replace(before, **_said(after))


def _patched(row: Execution, patch: ExecutionPatch) -> Execution:
    return msgspec.structs.replace(row, **_said(patch))


def _said(patch: ExecutionPatch | RunPatch) -> dict[str, Any]:
    silent: object = None if isinstance(patch, RunPatch) else msgspec.UNSET
    fields = ((name, getattr(patch, name)) for name in patch.__struct_fields__)
    return {name: value for name, value in fields if value is not silent}

"""A store in this process's memory: for tests, simulations and trying things out. Nothing outlives the process.

Everything is copied on the way in and on the way out, as a database would: a caller's later mutation never shows, and what
another database would refuse as JSON is refused here too.
"""

from __future__ import annotations

import bisect
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.page import Counts, ExecutionQuery, Page, RunQuery
from klassd.workflows.model.run import (
    Change,
    Execution,
    ExecutionPatch,
    LoadedRun,
    LogChunk,
    NodeRow,
    Run,
    execution_key,
    over_node,
)
from klassd.workflows.model.states import RunStatus, StartAnswer
from klassd.workflows.ports import Clock, NewRun
from klassd.workflows.stores.common import (
    Bells,
    ExecutionKey,
    Lease,
    answer_start,
    check_changes,
    check_runs,
    chunk_end,
    key_of,
    lines_from,
)
from klassd.workflows.system import SystemClock

SUFFIX_DEPTH = 10_000  # newest runs in which an id is looked for by its end

S = TypeVar("S", bound=msgspec.Struct)


class MemoryStore:
    """``ports.Store`` in memory. Several objects are several handles of one store when they share ``data``."""

    def __init__(self, url: str = "memory:", *, clock: Clock | None = None, data: MemoryData | None = None) -> None:
        self._clock = clock or SystemClock()
        self.data = data or MemoryData()

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    # -- what applications ask for ------------------------------------------------------------------------------

    async def enqueue(self, runs: Sequence[NewRun]) -> list[str]:
        check_runs(runs)
        ids = [self.data.insert(new) for new in runs]
        self.data.bells.ring()
        return ids

    async def request_cancel(self, run_id: str, now: float) -> bool:
        run = self.data.runs.get(run_id)
        if run is None or run.status.final:
            return False
        if run.status is RunStatus.QUEUED:
            run = msgspec.structs.replace(run, status=RunStatus.CANCELLED, finished_at=now)
        if run.cancel_requested_at is None:
            run = msgspec.structs.replace(run, cancel_requested_at=now)
        self.data.put(run)
        self.data.bells.ring()
        return True

    # -- ownership ----------------------------------------------------------------------------------------------

    async def renew(self, owner: str, ttl: float) -> bool:
        now = self._clock.now()
        before = self.data.leases.get(owner)
        self.data.leases[owner] = Lease(now + ttl, ttl)
        return before is None or before.live(now)

    async def is_live(self, owner: str) -> bool:
        return self.data.live(owner, self._clock.now())

    async def claim_runs(
        self,
        owner: str,
        limit: int,
        now: float,
        queues: Sequence[str] | None = None,
        only: Sequence[str] | None = None,
        abandoned: bool = False,
    ) -> list[LoadedRun]:
        at = self._clock.now()
        if not self.data.live(owner, at):
            return []

        def wanted(run: Run) -> bool:
            named = (queues is None or run.queue in queues) and (only is None or run.id in only)
            return run.not_before <= now and named and (run.epoch > 0 or not abandoned)

        free = (self.data.runs[id_] for _, id_ in self.data.claimable(at))
        chosen = list(islice(filter(wanted, free), max(0, limit)))
        for run in chosen:
            self.data.give(run, owner, now)
        if chosen:
            self.data.bells.ring()
        return [self.data.loaded(run.id) for run in chosen]

    async def release(self, owner: str) -> None:
        self.data.leases.pop(owner, None)
        for run_id in list(self.data.owned.get(owner, ())):
            self.data.put(msgspec.structs.replace(self.data.runs[run_id], owner=None))
        self.data.bells.ring()

    async def cancel_requests(self, owner: str) -> list[str]:
        owned = sorted(self.data.owned.get(owner, ()))
        return [run_id for run_id in owned if self.data.runs[run_id].cancel_requested_at is not None]

    async def next_due(self, now: float) -> float | None:
        runs = (self.data.runs[run_id] for _, run_id in self.data.unowned)
        return min((r.not_before for r in runs if r.not_before > now and r.status is RunStatus.QUEUED), default=None)

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        check_changes(changes)
        results = [self.data.apply(change) for change in changes]
        if any(results):
            self.data.bells.ring()
        return results

    # -- what workers ask for -----------------------------------------------------------------------------------

    async def start_claim(self, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
        return self.data.claim_start(execution_id, token_hash, started_by)

    # -- reading ------------------------------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> Run | None:
        run = self.data.runs.get(run_id)
        return _copy(run) if run else None

    async def find_runs(self, text: str, limit: int = 5) -> list[str]:
        ids = self.data.ids
        start = bisect.bisect_left(ids, text)
        end = bisect.bisect_left(ids, True, lo=start, key=lambda id_: not id_.startswith(text))
        by_end = (id_ for id_ in islice(reversed(ids), SUFFIX_DEPTH) if id_.endswith(text))
        return sorted({*islice(reversed(ids[start:end]), limit), *islice(by_end, limit)}, reverse=True)[:limit]

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        end = len(self.data.ids) if query.after is None else bisect.bisect_left(self.data.ids, query.after)
        newest_first = (self.data.runs[self.data.ids[place]] for place in range(end - 1, -1, -1))
        return _page((run for run in newest_first if _fits(run, query)), query.limit, lambda run: run.id)

    async def counts(self) -> Counts:
        by_name: dict[str, dict[RunStatus, int]] = {}
        for (name, status), number in self.data.counts.items():
            if number:
                by_name.setdefault(name, {})[status] = number
        return Counts(by_name)

    async def get_definition(self, hash_: str) -> bytes | None:
        return self.data.definitions.get(hash_)

    async def list_nodes(self, run_id: str) -> list[NodeRow]:
        nodes = self.data.nodes.get(run_id, {})
        return [_copy(nodes[name]) for name in sorted(nodes)]

    async def get_execution(self, execution_id: str) -> Execution | None:
        execution = self.data.execution(execution_id)
        return _copy(execution) if execution else None

    async def list_executions(self, query: ExecutionQuery) -> Page[Execution]:
        rows = self.data.executions.get(query.run_id, {})
        after = key_of(query.after, query.run_id) if query.after else (-1, 0, 0)
        fitting = (
            row
            for key, row in sorted(rows.items(), key=lambda item: item[0])
            if key > after and query.node in (None, row.node) and (not query.statuses or row.status in query.statuses)
        )
        return _page(fitting, query.limit, lambda row: row.id)

    async def log_cursor(self, execution_id: str) -> tuple[str, int, int]:
        chunks = self.data.logs.get(execution_id)
        return chunk_end(chunks[-1]) if chunks else ("", 0, 1)

    async def read_log(self, execution_id: str, first_line: int = 1, limit: int = 1000) -> list[LogLine]:
        chunks = self.data.logs.get(execution_id, [])
        start = bisect.bisect_left(chunks, first_line, key=lambda chunk: chunk.first_line)
        return lines_from((chunk.data for chunk in chunks[max(0, start - 1) :]), first_line, limit)

    async def finished(self, before: float, limit: int) -> list[Run]:
        referred = {run_id for run in self.data.runs.values() for run_id in run.refers_to}
        final = (
            (run.finished_at, run.id)
            for run in self.data.runs.values()
            if run.status.final and run.finished_at is not None and run.id not in referred
        )
        oldest = heapq.nsmallest(limit, (entry for entry in final if entry[0] < before))
        return [_copy(self.data.runs[run_id]) for _, run_id in oldest]

    async def prune(self, run_ids: Sequence[str]) -> list[str]:
        runs = [self.data.runs.get(run_id) for run_id in dict.fromkeys(run_ids)]
        pruned = [run.id for run in runs if run is not None and run.status.final]
        for run_id in pruned:
            self.data.remove(run_id)
        if pruned:
            self.data.bells.ring()
        return pruned

    # -- hints --------------------------------------------------------------------------------------------------

    async def watch(self) -> AsyncIterator[None]:
        with self.data.bells.bell() as bell:
            while True:
                await bell.wait()
                bell.clear()
                yield


class MemoryData:
    """What the handles of one store share."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.ids: list[str] = []  # sorted
        self.unowned: list[tuple[int, str]] = []  # (-priority, id) of runs that are not final, sorted
        self.owned: dict[str, set[str]] = {}  # owner -> runs that are not final
        self.keys: dict[tuple[str, str], str] = {}
        self.definitions: dict[str, bytes] = {}
        self.definition_uses: Counter[str] = Counter()
        self.nodes: dict[str, dict[str, NodeRow]] = {}
        self.executions: dict[str, dict[ExecutionKey, Execution]] = {}
        self.logs: dict[str, list[LogChunk]] = {}
        self.leases: dict[str, Lease] = {}
        self.counts: Counter[tuple[str, RunStatus]] = Counter()
        self.bells = Bells()

    # -- runs ---------------------------------------------------------------------------------------------------

    def insert(self, new: NewRun) -> str:
        run = new.run
        if known := self._known(run):
            return known
        self.definitions.setdefault(run.definition, new.definition)
        self.definition_uses[run.definition] += 1
        if run.idempotency_key is not None:
            self.keys[run.tenant, run.idempotency_key] = run.id
        bisect.insort(self.ids, run.id)
        self.put(_copy(run))
        return run.id

    def _known(self, run: Run) -> str | None:
        by_key = None if run.idempotency_key is None else self.keys.get((run.tenant, run.idempotency_key))
        return by_key or (run.id if run.id in self.runs else None)

    def put(self, run: Run) -> None:
        """The one place where a run changes, so that what is kept beside it stays true."""
        if before := self.runs.get(run.id):
            self._forget(before)
        self.runs[run.id] = run
        self.counts[run.name, run.status] += 1
        if not run.status.final and run.owner is None:
            bisect.insort(self.unowned, (-run.priority, run.id))
        elif not run.status.final and run.owner is not None:
            self.owned.setdefault(run.owner, set()).add(run.id)

    def _forget(self, run: Run) -> None:
        self.counts[run.name, run.status] -= 1
        if not run.status.final and run.owner is None:
            del self.unowned[bisect.bisect_left(self.unowned, (-run.priority, run.id))]
        elif not run.status.final and run.owner is not None:
            self.owned[run.owner].discard(run.id)
            if not self.owned[run.owner]:
                del self.owned[run.owner]

    def remove(self, run_id: str) -> None:
        run = self.runs.pop(run_id)
        self._forget(run)
        del self.ids[bisect.bisect_left(self.ids, run_id)]
        if run.idempotency_key is not None:
            del self.keys[run.tenant, run.idempotency_key]
        for execution in self.executions.pop(run_id, {}).values():
            self.logs.pop(execution.id, None)
        self.nodes.pop(run_id, None)
        self.definition_uses[run.definition] -= 1
        if not self.definition_uses[run.definition]:
            del self.definition_uses[run.definition], self.definitions[run.definition]

    def loaded(self, run_id: str) -> LoadedRun:
        run = self.runs[run_id]
        executions = self.executions.get(run_id, {})
        return LoadedRun(
            run=_copy(run),
            definition=self.definitions[run.definition],
            nodes=tuple(map(_copy, self.nodes.get(run_id, {}).values())),
            executions=tuple(_copy(executions[key]) for key in sorted(executions)),
        )

    # -- ownership ----------------------------------------------------------------------------------------------

    def live(self, owner: str, now: float) -> bool:
        lease = self.leases.get(owner)
        return lease is not None and lease.live(now)

    def claimable(self, now: float) -> Iterator[tuple[int, str]]:
        dead = [run_id for owner, ids in self.owned.items() if not self.live(owner, now) for run_id in ids]
        return heapq.merge(self.unowned, sorted((-self.runs[run_id].priority, run_id) for run_id in dead))

    def give(self, run: Run, owner: str, now: float) -> None:
        run = msgspec.structs.replace(run, owner=owner, epoch=run.epoch + 1)
        if run.status is RunStatus.QUEUED:
            run = msgspec.structs.replace(run, status=RunStatus.RUNNING, started_at=now)
        self.put(run)

    # -- changes ------------------------------------------------------------------------------------------------

    def apply(self, change: Change) -> bool:
        run = self.runs.get(change.run_id)
        if run is None or run.epoch != change.epoch or run.status.final:
            return False
        if change.run:
            said = {name: value for name, value in msgspec.structs.asdict(change.run).items() if value is not None}
            self.put(_copy(msgspec.structs.replace(run, **said)))
        self._apply_nodes(change)
        self._apply_executions(change)
        self._apply_logs(change)
        return True

    def _apply_nodes(self, change: Change) -> None:
        rows = self.nodes.setdefault(change.run_id, {})
        for row in map(_copy, change.nodes):
            rows[row.name] = over_node(rows.get(row.name), row)

    def _apply_executions(self, change: Change) -> None:
        rows = self.executions.setdefault(change.run_id, {})
        for execution in change.started:
            rows.setdefault(key_of(execution.id, change.run_id), _copy(execution))
        for patch in change.updated:
            key = key_of(patch.id, change.run_id)
            if key in rows and not rows[key].status.final:
                rows[key] = _copy(_patched(rows[key], patch))

    def execution(self, execution_id: str) -> Execution | None:
        try:
            run_id, *key = execution_key(execution_id)
        except ValueError:
            return None
        return self.executions.get(run_id, {}).get((key[0], key[1], key[2]))

    def claim_start(self, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
        execution = self.execution(execution_id)
        if execution is None:
            return StartAnswer.UNKNOWN
        answer = answer_start(self.runs[execution.run_id].status, execution, token_hash, started_by)
        if answer is StartAnswer.GRANTED:
            key = key_of(execution_id, execution.run_id)
            self.executions[execution.run_id][key] = msgspec.structs.replace(execution, started_by=started_by)
        return answer

    def _apply_logs(self, change: Change) -> None:
        for execution_id, chunk in change.logs:
            chunks = self.logs.setdefault(execution_id, [])
            place = bisect.bisect_left(chunks, _place(chunk), key=_place)
            if place == len(chunks) or _place(chunks[place]) != _place(chunk):
                chunks.insert(place, chunk)


def _place(chunk: LogChunk) -> tuple[int, int]:
    return chunk.first_line, chunk.first_seq


def _patched(execution: Execution, patch: ExecutionPatch) -> Execution:
    said = {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not msgspec.UNSET}
    return msgspec.structs.replace(execution, **said)


def _copy(value: S) -> S:
    """Through JSON: no part of it is shared, and it is what a database would give back."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def _fits(run: Run, query: RunQuery) -> bool:
    return (
        (not query.statuses or run.status in query.statuses)
        and query.name in (None, run.name)
        and query.tenant in (None, run.tenant)
        and (query.tag is None or query.tag in run.tags)
    )


def _page(fitting: Iterable[S], limit: int, mark: Callable[[S], str]) -> Page[S]:
    limit = max(1, limit)
    found = list(islice(fitting, limit + 1))
    items = [_copy(item) for item in found[:limit]]
    return Page(items=items, next=mark(items[-1]) if len(found) > limit else None)

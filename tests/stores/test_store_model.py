"""Any store against a simple model of it, through whatever sequence of operations hypothesis comes up with."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from klassd.workflows.model.page import ExecutionQuery, RunQuery
from klassd.workflows.model.run import Change, LoadedRun, Run, RunPatch
from klassd.workflows.model.states import ExecutionStatus, RunStatus
from klassd.workflows.ports import NewRun, Store
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.stores.sqlite import SqliteStore
from klassd.workflows.system import make_run_id
from klassd.workflows.testing.clock import FakeClock
from klassd.workflows.testing.store_checks.bench import execution, patch, text_chunk

T = TypeVar("T")
TTL = 10.0
OWNERS = st.sampled_from(["one", "two", "three"])
QUEUES = st.sampled_from(["a", "b"])
NAMES = st.sampled_from(["x", "y"])
PICKS = st.integers(min_value=0, max_value=1000)
STATUSES = st.sampled_from(list(RunStatus)[1:])


@dataclass
class Modelled:
    run: Run
    executions: dict[tuple[int, int], ExecutionStatus] = field(default_factory=dict)  # (index, attempt)
    lines: dict[tuple[int, int], int] = field(default_factory=dict)


class StoreMachine(RuleBasedStateMachine):
    """Rules act on the store, through one of two handles, and on the model; invariants compare what can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.runner = asyncio.Runner()
        self.handles = [self.make(), self.make()]
        self.runs: dict[str, Modelled] = {}
        self.leases: dict[str, float] = {}
        self.made = 0
        for handle in self.handles:
            self.do(handle.open())

    def make(self) -> Store:
        raise NotImplementedError

    def do(self, action: Awaitable[T]) -> T:
        async def run() -> T:
            return await action

        return self.runner.run(run())

    @property
    def store(self) -> Store:
        self.handles.reverse()
        return self.handles[0]

    def teardown(self) -> None:
        for handle in self.handles:
            self.do(handle.close())
        self.runner.close()

    def pick(self, number: int) -> Modelled:
        return self.runs[sorted(self.runs)[number % len(self.runs)]]

    def set(self, modelled: Modelled, **fields: Any) -> None:
        modelled.run = replace(modelled.run, **fields)

    def live(self, owner: str | None) -> bool:
        return self.clock.now() < self.leases.get(owner or "", 0.0)

    # -- rules --------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 4.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(name=NAMES, queue=QUEUES, priority=st.integers(-1, 1), delay=st.sampled_from([0.0, 0.0, 5.0]), key=st.none() | NAMES)
    def enqueue(self, name: str, queue: str, priority: int, delay: float, key: str | None) -> None:
        self.made += 1
        now = self.clock.now()
        run = Run(
            id=make_run_id(now, self.made), name=name, kind="job", definition=f"d-{name}", queue=queue, priority=priority,
            idempotency_key=key, created_at=now, not_before=now + delay, tags=(queue,),
        )  # fmt: skip
        known = [m.run.id for m in self.runs.values() if key is not None and m.run.idempotency_key == key]
        expected = known[0] if known else run.id
        assert self.do(self.store.enqueue([NewRun(run=run, definition=name.encode())])) == [expected]
        if not known:
            self.runs[run.id] = Modelled(run)

    @rule(owner=OWNERS)
    def renew(self, owner: str) -> None:
        in_time = owner not in self.leases or self.live(owner)
        assert self.do(self.store.renew(owner, TTL)) == in_time
        self.leases[owner] = self.clock.now() + TTL

    @rule(owner=OWNERS)
    def release(self, owner: str) -> None:
        self.do(self.store.release(owner))
        self.leases.pop(owner, None)
        for modelled in self.runs.values():
            if modelled.run.owner == owner and not modelled.run.status.final:
                self.set(modelled, owner=None)

    @rule(owner=OWNERS, limit=st.integers(1, 3), queues=st.none() | st.lists(QUEUES, max_size=2))
    def claim(self, owner: str, limit: int, queues: list[str] | None) -> None:
        now = self.clock.now()
        claimed = self.do(self.store.claim_runs(owner, limit, now, queues))
        free = [
            modelled
            for modelled in self.runs.values()
            if not modelled.run.status.final
            and modelled.run.not_before <= now
            and not self.live(modelled.run.owner)
            and (queues is None or modelled.run.queue in queues)
        ]
        free.sort(key=lambda modelled: (-modelled.run.priority, modelled.run.id))
        expected = free[:limit] if self.live(owner) else []
        for modelled in expected:
            begun = {"status": RunStatus.RUNNING, "started_at": now} if modelled.run.status is RunStatus.QUEUED else {}
            self.set(modelled, owner=owner, epoch=modelled.run.epoch + 1, **begun)
        assert [loaded.run for loaded in claimed] == [modelled.run for modelled in expected]
        for loaded, modelled in zip(claimed, expected, strict=True):
            self.check_loaded(loaded, modelled)

    def check_loaded(self, loaded: LoadedRun, modelled: Modelled) -> None:
        assert loaded.definition == modelled.run.name.encode()
        assert {(e.index, e.attempt): e.status for e in loaded.executions} == modelled.executions

    @precondition(lambda self: self.runs)
    @rule(number=PICKS)
    def cancel(self, number: int) -> None:
        modelled, now = self.pick(number), self.clock.now()
        final = modelled.run.status.final
        assert self.do(self.store.request_cancel(modelled.run.id, now)) == (not final)
        if final:
            return
        if modelled.run.status is RunStatus.QUEUED:
            self.set(modelled, status=RunStatus.CANCELLED, finished_at=now)
        if modelled.run.cancel_requested_at is None:
            self.set(modelled, cancel_requested_at=now)

    @precondition(lambda self: self.runs)
    @rule(number=PICKS, behind=st.sampled_from([0, 0, 0, 1]), status=STATUSES)
    def change_the_run(self, number: int, behind: int, status: RunStatus) -> None:
        modelled = self.pick(number)
        finished = self.clock.now() if status.final else None
        end = RunPatch(status=status, finished_at=finished, output=[number])
        if self.commit(modelled, behind, run=end):
            self.set(modelled, status=status, output=[number], finished_at=finished or modelled.run.finished_at)

    @precondition(lambda self: self.runs)
    @rule(number=PICKS, index=st.integers(0, 2), attempt=st.integers(1, 2), behind=st.sampled_from([0, 0, 0, 1]))
    def start(self, number: int, index: int, attempt: int, behind: int) -> None:
        modelled = self.pick(number)
        if self.commit(modelled, behind, started=(execution(modelled.run.id, index, attempt),)):
            modelled.executions.setdefault((index, attempt), ExecutionStatus.STARTING)

    @precondition(lambda self: self.runs)
    @rule(number=PICKS, index=st.integers(0, 2), status=st.sampled_from(list(ExecutionStatus)))
    def change_an_execution(self, number: int, index: int, status: ExecutionStatus) -> None:
        modelled = self.pick(number)
        updated = patch(execution(modelled.run.id, index), status=status)
        if self.commit(modelled, 0, updated=(updated,)) and (before := modelled.executions.get((index, 1))):
            modelled.executions[index, 1] = before if before.final else status

    @precondition(lambda self: self.runs)
    @rule(number=PICKS, index=st.integers(0, 1), again=st.booleans())
    def log(self, number: int, index: int, again: bool) -> None:
        modelled = self.pick(number)
        line = max(1, modelled.lines.get((index, 1), 0) + (not again))
        logs = ((execution(modelled.run.id, index).id, text_chunk(line, line, f"line {line}")),)
        if self.commit(modelled, 0, logs=logs):
            modelled.lines[index, 1] = max(line, modelled.lines.get((index, 1), 0))

    def commit(self, modelled: Modelled, behind: int, **what: Any) -> bool:
        change = Change(run_id=modelled.run.id, epoch=modelled.run.epoch - behind, **what)
        expected = not modelled.run.status.final and not behind
        assert self.do(self.store.commit([change])) == [expected]
        return expected

    @rule(age=st.sampled_from([0.0, 5.0]), limit=st.integers(1, 2))
    def prune(self, age: float, limit: int) -> None:
        before = self.clock.now() - age
        done = [m.run for m in self.runs.values() if m.run.status.final and m.run.finished_at < before]
        expected = [run.id for run in sorted(done, key=lambda run: (run.finished_at, run.id))[:limit]]
        assert self.do(self.store.prune(before, limit)) == expected
        for run_id in expected:
            del self.runs[run_id]

    # -- what must always hold ----------------------------------------------------------------------------------

    @invariant()
    def lists_show_the_runs_as_they_are(self) -> None:
        expected = [self.runs[run_id].run for run_id in sorted(self.runs, reverse=True)]
        assert list(self.do(self.store.list_runs(RunQuery(limit=100))).items) == expected
        for query in (RunQuery(name="x"), RunQuery(statuses=(RunStatus.QUEUED, RunStatus.FAILED)), RunQuery(tag="a", name="y")):
            fitting = [
                run
                for run in expected
                if (not query.statuses or run.status in query.statuses)
                and query.name in (None, run.name)
                and (query.tag is None or query.tag in run.tags)
            ]
            assert list(self.do(self.store.list_runs(replace(query, limit=100))).items) == fitting

    @invariant()
    def counts_are_those_of_the_runs(self) -> None:
        counted = Counter((m.run.name, m.run.status) for m in self.runs.values())
        found = self.do(self.store.counts()).by_name
        assert {(name, status): n for name, of in found.items() for status, n in of.items()} == dict(counted)

    @invariant()
    def requests_and_due_times_are_those_of_the_runs(self) -> None:
        runs, now = [m.run for m in self.runs.values()], self.clock.now()
        for owner in ("one", "two"):
            asked = [r.id for r in runs if r.owner == owner and not r.status.final and r.cancel_requested_at is not None]
            assert self.do(self.store.cancel_requests(owner)) == sorted(asked)
        later = [r.not_before for r in runs if r.status is RunStatus.QUEUED and r.not_before > now]
        assert self.do(self.store.next_due(now)) == min(later, default=None)

    @invariant()
    def executions_and_consoles_are_those_of_the_runs(self) -> None:
        for modelled in self.runs.values():
            page = self.do(self.store.list_executions(ExecutionQuery(run_id=modelled.run.id)))
            assert {(e.index, e.attempt): e.status for e in page.items} == modelled.executions
            for (index, attempt), last in modelled.lines.items():
                lines = self.do(self.store.read_log(execution(modelled.run.id, index, attempt).id))
                assert [line.number for line in lines] == list(range(1, last + 1))

    @invariant()
    def definitions_stay_as_long_as_they_are_used(self) -> None:
        for name in ("x", "y"):
            used = any(m.run.name == name for m in self.runs.values())
            assert (self.do(self.store.get_definition(f"d-{name}")) is not None) == used


class MemoryMachine(StoreMachine):
    def __init__(self) -> None:
        self.data = MemoryData()
        super().__init__()

    def make(self) -> Store:
        return MemoryStore(clock=self.clock, data=self.data)


class SqliteMachine(StoreMachine):
    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="model")
        super().__init__()

    def make(self) -> Store:
        return SqliteStore(f"{self.directory}/klassd.db", clock=self.clock)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)


TestMemoryStoreModel = MemoryMachine.TestCase
TestMemoryStoreModel.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestSqliteStoreModel = SqliteMachine.TestCase
TestSqliteStoreModel.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)

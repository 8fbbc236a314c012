"""A store, as dictionaries: what each verb must answer, and what must stand there afterwards.

A wish is what a test wants done, drawn without knowing the state. ``resolve`` makes a step of it: a call, and what that call
does to the model. Steps say nothing of who comes first, so two of them can be tried at once and in either order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from klassd.workflows.model.page import ExecutionQuery, RunQuery
from klassd.workflows.model.run import Change, NodeRow, Run, RunPatch
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus, StartAnswer
from klassd.workflows.ports import NewRun, Store
from klassd.workflows.system import make_run_id
from klassd.workflows.testing.store_checks.bench import LONG, NOW, SHORT, execution, patch, text_chunk

Key = tuple[int, int]  # index, attempt


@dataclass
class Modelled:
    run: Run
    executions: dict[Key, ExecutionStatus] = field(default_factory=dict)
    started_by: dict[Key, str] = field(default_factory=dict)
    nodes: dict[str, NodeRow] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)  # of each first attempt, by index

    def set(self, **fields: Any) -> None:
        self.run = replace(self.run, **fields)


@dataclass
class Model:
    now: float = NOW  # what callers take the time to be; leases go by the store's own clock
    runs: dict[str, Modelled] = field(default_factory=dict)
    leases: dict[str, bool] = field(default_factory=dict)  # owner -> not run out yet
    made: int = 0

    def copy(self) -> Model:
        return deepcopy(self)

    def pick(self, number: int) -> Modelled | None:
        return self.runs[sorted(self.runs)[number % len(self.runs)]] if self.runs else None

    def pick_under_way(self, number: int) -> Modelled | None:
        """Rather one that is owned: what can happen to the others is soon told."""
        owned = [run_id for run_id, each in sorted(self.runs.items()) if each.run.epoch and not each.run.status.final]
        return self.runs[owned[number % len(owned)]] if owned and number % 5 else self.pick(number)

    def pick_final(self, number: int) -> Modelled | None:
        """Rather one that has ended."""
        final = [run_id for run_id, each in sorted(self.runs.items()) if each.run.status.final]
        return self.runs[final[number % len(final)]] if final and number % 5 else self.pick(number)

    def live(self, owner: str | None) -> bool:
        return self.leases.get(owner or "", False)


class Step(NamedTuple):
    call: Callable[[Store], Awaitable[Any]]
    expect: Callable[[Model], Any]  # the answer; changes the model


class Wish(Protocol):
    def resolve(self, model: Model) -> Step: ...


# -- what applications ask for ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Enqueue:
    name: str
    queue: str
    priority: int
    delay: float
    keys: Sequence[str | None]  # a run for each
    refers_to: Sequence[int] = ()  # to each of these runs

    def resolve(self, model: Model) -> Step:
        new = [self._new(model, key) for key in self.keys]

        def expect(model: Model) -> list[str]:
            return [self._inserted(model, each.run) for each in new]

        return Step(lambda store: store.enqueue(new), expect)

    def _new(self, model: Model, key: str | None) -> NewRun:
        model.made += 1
        run = Run(
            id=make_run_id(model.now, model.made), name=self.name, kind="job", definition=f"d-{self.name}", queue=self.queue,
            priority=self.priority, idempotency_key=key, created_at=model.now, not_before=model.now + self.delay,
            tags=(self.queue,), refers_to=tuple(_id(model.pick(number)) for number in self.refers_to),
        )  # fmt: skip
        return NewRun(run=run, definition=self.name.encode())

    def _inserted(self, model: Model, run: Run) -> str:
        for known in model.runs.values():
            if run.id == known.run.id or (run.idempotency_key and run.idempotency_key == known.run.idempotency_key):
                return known.run.id
        model.runs[run.id] = Modelled(run)
        return run.id


@dataclass(frozen=True)
class Cancel:
    number: int

    def resolve(self, model: Model) -> Step:
        run_id, now = _id(model.pick(self.number)), model.now
        return Step(lambda store: store.request_cancel(run_id, now), lambda model: self._cancelled(model, run_id, now))

    def _cancelled(self, model: Model, run_id: str, now: float) -> bool:
        modelled = model.runs.get(run_id)
        if modelled is None or modelled.run.status.final:
            return False
        if modelled.run.status is RunStatus.QUEUED:
            modelled.set(status=RunStatus.CANCELLED, finished_at=now)
        if modelled.run.cancel_requested_at is None:
            modelled.set(cancel_requested_at=now)
        return True


# -- ownership --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Renew:
    owner: str

    def resolve(self, model: Model) -> Step:
        def expect(model: Model) -> bool:
            in_time = model.leases.get(self.owner, True)
            model.leases[self.owner] = True
            return in_time

        return Step(lambda store: store.renew(self.owner, LONG), expect)


@dataclass(frozen=True)
class Release:
    owner: str

    def resolve(self, model: Model) -> Step:
        def expect(model: Model) -> None:
            model.leases.pop(self.owner, None)
            for modelled in model.runs.values():
                if modelled.run.owner == self.owner and not modelled.run.status.final:
                    modelled.set(owner=None)

        return Step(lambda store: store.release(self.owner), expect)


@dataclass(frozen=True)
class Claim:
    owner: str
    limit: int
    queues: Sequence[str] | None

    def resolve(self, model: Model) -> Step:
        now = model.now

        async def call(store: Store) -> list[Any]:
            claimed = await store.claim_runs(self.owner, self.limit, now, self.queues)
            return [
                (loaded.run, loaded.definition, {(e.index, e.attempt): e.status for e in loaded.executions})
                for loaded in claimed
            ]

        def expect(model: Model) -> list[Any]:
            return [(m.run, m.run.name.encode(), dict(m.executions)) for m in self._taken(model, now)]

        return Step(call, expect)

    def _taken(self, model: Model, now: float) -> list[Modelled]:
        if not model.live(self.owner):
            return []
        free = [modelled for modelled in model.runs.values() if self._may_have(model, modelled.run, now)]
        free.sort(key=lambda modelled: (-modelled.run.priority, modelled.run.id))
        for modelled in free[: self.limit]:
            if modelled.run.status is RunStatus.QUEUED:
                modelled.set(status=RunStatus.RUNNING, started_at=now)
            modelled.set(owner=self.owner, epoch=modelled.run.epoch + 1)
        return free[: self.limit]

    def _may_have(self, model: Model, run: Run, now: float) -> bool:
        wanted = run.not_before <= now and (self.queues is None or run.queue in self.queues)
        return wanted and not run.status.final and not model.live(run.owner)


@dataclass(frozen=True)
class ClaimStart:
    number: int
    index: int
    who: str
    knows: bool  # a secret of the execution

    def resolve(self, model: Model) -> Step:
        run_id = _id(model.pick_under_way(self.number))
        id_, hash_ = execution(run_id, self.index).id, "hash" if self.knows else "another"
        return Step(lambda store: store.start_claim(id_, hash_, self.who), lambda model: self._claimed(model, run_id))

    def _claimed(self, model: Model, run_id: str) -> StartAnswer:
        modelled, key = model.runs.get(run_id), (self.index, 1)
        if modelled is None or key not in modelled.executions or not self.knows:
            return StartAnswer.UNKNOWN
        if modelled.started_by.get(key, self.who) != self.who:
            return StartAnswer.TAKEN
        started = modelled.executions[key] in (ExecutionStatus.STARTING, ExecutionStatus.RUNNING)
        if modelled.run.status.final or not started:
            return StartAnswer.OVER
        modelled.started_by[key] = self.who
        return StartAnswer.GRANTED


# -- changes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Commit:
    """Changes of some runs, as one group. ``behind``: made under an older epoch."""

    numbers: Sequence[int]
    behind: int
    what: Part

    def resolve(self, model: Model) -> Step:
        picked = [modelled for number in self.numbers if (modelled := model.pick_under_way(number))]
        changes = [self.what.change(each, max(1, each.run.epoch - self.behind), model.now) for each in picked]  # 0: nobody's
        return Step(lambda store: store.commit(changes), lambda model: [self._applied(model, each) for each in changes])

    def _applied(self, model: Model, change: Change) -> bool:
        modelled = model.runs.get(change.run_id)
        if modelled is None or modelled.run.status.final or modelled.run.epoch != change.epoch:
            return False
        self.what.apply(modelled, change)
        return True


class Part(Protocol):
    def change(self, of: Modelled, epoch: int, now: float) -> Change: ...
    def apply(self, of: Modelled, change: Change) -> None: ...


@dataclass(frozen=True)
class OfTheRun:
    status: RunStatus
    output: int

    def change(self, of: Modelled, epoch: int, now: float) -> Change:
        finished = now if self.status.final else None
        return Change(
            run_id=of.run.id, epoch=epoch, run=RunPatch(status=self.status, finished_at=finished, output=[self.output])
        )

    def apply(self, of: Modelled, change: Change) -> None:
        assert change.run
        finished = change.run.finished_at or of.run.finished_at
        of.set(status=self.status, output=[self.output], finished_at=finished)


@dataclass(frozen=True)
class Start:
    index: int
    attempt: int

    def change(self, of: Modelled, epoch: int, now: float) -> Change:
        return Change(
            run_id=of.run.id, epoch=epoch, started=(execution(of.run.id, self.index, self.attempt, token_hashes=("hash",)),)
        )

    def apply(self, of: Modelled, change: Change) -> None:
        of.executions.setdefault((self.index, self.attempt), ExecutionStatus.STARTING)


@dataclass(frozen=True)
class OfAnExecution:
    index: int
    status: ExecutionStatus

    def change(self, of: Modelled, epoch: int, now: float) -> Change:
        return Change(run_id=of.run.id, epoch=epoch, updated=(patch(execution(of.run.id, self.index), status=self.status),))

    def apply(self, of: Modelled, change: Change) -> None:
        before = of.executions.get((self.index, 1))
        if before is not None and not before.final:
            of.executions[self.index, 1] = self.status


@dataclass(frozen=True)
class OfANode:
    name: str
    status: NodeStatus
    items: list[int] | None
    address: str | None

    def change(self, of: Modelled, epoch: int, now: float) -> Change:
        row = NodeRow(name=self.name, status=self.status, items=self.items, address=self.address)
        return Change(run_id=of.run.id, epoch=epoch, nodes=(row,))

    def apply(self, of: Modelled, change: Change) -> None:
        before = of.nodes.get(self.name)
        items = before.items if before and self.items is None else self.items
        address = before.address if before and self.address is None else self.address
        of.nodes[self.name] = replace(change.nodes[0], items=items, address=address)


@dataclass(frozen=True)
class Log:
    """A line of a console: the next one, or the last one again."""

    index: int
    again: bool

    def change(self, of: Modelled, epoch: int, now: float) -> Change:
        line = max(1, of.lines.get(self.index, 0) + (not self.again))
        chunk = text_chunk(line, line, f"line {line}", cursor=f"behind {line}")
        return Change(run_id=of.run.id, epoch=epoch, logs=((execution(of.run.id, self.index).id, chunk),))

    def apply(self, of: Modelled, change: Change) -> None:
        of.lines[self.index] = max(change.logs[0][1].first_line, of.lines.get(self.index, 0))


@dataclass(frozen=True)
class Find:
    """What has finished and nobody refers to."""

    age: float
    limit: int

    def resolve(self, model: Model) -> Step:
        before = model.now - self.age

        def expect(model: Model) -> list[str]:
            referred = {run_id for m in model.runs.values() for run_id in m.run.refers_to}
            final = [m.run for m in model.runs.values() if m.run.status.final and m.run.id not in referred]
            found = [run for run in final if (run.finished_at or 0.0) < before]
            return [run.id for run in sorted(found, key=lambda run: (run.finished_at or 0.0, run.id))[: self.limit]]

        async def find(store: Store) -> list[str]:
            return [run.id for run in await store.finished(before, self.limit)]

        return Step(find, expect)


@dataclass(frozen=True)
class Prune:
    numbers: Sequence[int]

    def resolve(self, model: Model) -> Step:
        run_ids = [_id(model.pick_final(number)) for number in self.numbers]

        def expect(model: Model) -> list[str]:
            known = [model.runs[run_id].run for run_id in dict.fromkeys(run_ids) if run_id in model.runs]
            gone = [run.id for run in known if run.status.final]
            for run_id in gone:
                del model.runs[run_id]
            return gone

        return Step(lambda store: store.prune(run_ids), expect)


def _id(modelled: Modelled | None) -> str:
    return modelled.run.id if modelled else "nobody's"


async def lapse(store: Store, model: Model, owner: str, pass_time: Callable[[float], Awaitable[None]]) -> None:
    """Let the lease of this owner run out."""
    assert await store.renew(owner, SHORT) == model.leases.get(owner, True)
    await pass_time(SHORT * 1.5)
    model.leases[owner] = False


# -- reading ----------------------------------------------------------------------------------------------------------


async def compare(store: Store, model: Model) -> None:
    """Everything that can be read is as the model has it. Raises AssertionError."""
    await _compare_runs(store, model)
    await _compare_lists(store, model)
    for modelled in model.runs.values():
        await _compare_parts(store, modelled)
    for name in ("x", "y"):
        used = any(m.run.name == name for m in model.runs.values())
        assert (await store.get_definition(f"d-{name}") is not None) == used, f"definition d-{name}: used is {used}"


async def _compare_runs(store: Store, model: Model) -> None:
    for run_id, modelled in model.runs.items():
        assert await store.get_run(run_id) == modelled.run
        assert run_id in await store.find_runs(run_id)
    assert await store.get_run("nobody's") is None
    runs = [m.run for m in model.runs.values()]
    for owner in ("one", "two"):
        asked = [r.id for r in runs if r.owner == owner and not r.status.final and r.cancel_requested_at is not None]
        assert await store.cancel_requests(owner) == sorted(asked)
    later = [r.not_before for r in runs if r.status is RunStatus.QUEUED and r.not_before > model.now]
    assert await store.next_due(model.now) == min(later, default=None)


async def _compare_lists(store: Store, model: Model) -> None:
    newest_first = [model.runs[run_id].run for run_id in sorted(model.runs, reverse=True)]
    for query in (RunQuery(), RunQuery(name="x"), RunQuery(statuses=(RunStatus.QUEUED, RunStatus.FAILED)), RunQuery(tag="a")):
        fitting = [
            run
            for run in newest_first
            if (not query.statuses or run.status in query.statuses)
            and query.name in (None, run.name)
            and (query.tag is None or query.tag in run.tags)
        ]
        assert list((await store.list_runs(replace(query, limit=1000))).items) == fitting
    counted: dict[tuple[str, RunStatus], int] = {}
    for run in newest_first:
        counted[run.name, run.status] = counted.get((run.name, run.status), 0) + 1
    found = (await store.counts()).by_name
    assert {(name, status): n for name, of in found.items() for status, n in of.items()} == counted


async def _compare_parts(store: Store, modelled: Modelled) -> None:
    run_id = modelled.run.id
    page = await store.list_executions(ExecutionQuery(run_id=run_id, limit=1000))
    assert {(e.index, e.attempt): e.status for e in page.items} == modelled.executions
    for (index, attempt), status in modelled.executions.items():
        row = await store.get_execution(execution(run_id, index, attempt).id)
        assert row is not None and row.status is status
        assert row.started_by == modelled.started_by.get((index, attempt))
    assert {row.name: row for row in await store.list_nodes(run_id)} == modelled.nodes
    for index, last in modelled.lines.items():
        id_ = execution(run_id, index).id
        assert [line.number for line in await store.read_log(id_)] == list(range(1, last + 1))
        assert await store.log_cursor(id_) == (f"behind {last}", last + 1, last + 1)

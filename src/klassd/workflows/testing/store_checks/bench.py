"""What the checks are written with: handles on one store, and short ways to make runs and changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from klassd.workflows.model.page import ExecutionQuery, RunQuery
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, LoadedRun, LogChunk, Run, RunPatch, execution_id
from klassd.workflows.model.states import ExecutionStatus, RunStatus
from klassd.workflows.ports import NewRun, Store
from klassd.workflows.system import make_run_id

NOW = 1_800_000_000.0
LONG = 3600.0  # a lease that does not run out during a check
SHORT = 0.05
DEFINITION = b'{"name":"report","nodes":[]}'


class Suite(Protocol):
    def factory(self) -> Callable[[], Store]: ...

    async def pass_time(self, seconds: float) -> None: ...


class Bench:
    """One empty store, and as many handles on it as a check asks for."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._make = suite.factory()
        self._handles: list[Store] = []
        self._runs = 0
        self.store: Store

    async def another(self) -> Store:
        """A further handle on the same store, as another process would have it."""
        store = self._make()
        await store.open()
        self._handles.append(store)
        return store

    async def close(self) -> None:
        while self._handles:
            await self._handles.pop().close()

    async def outlive(self, lease: float) -> None:
        await self._suite.pass_time(lease * 1.5)

    # -- runs ---------------------------------------------------------------------------------------------------

    def new(self, **fields: Any) -> NewRun:
        """A run, one second younger than the one before."""
        self._runs += 1
        made = NOW + self._runs
        defaults = {"id": make_run_id(made, self._runs), "name": "report", "kind": "job", "definition": "d1"}
        run = Run(**{**defaults, "created_at": made, "not_before": made, **fields})
        return NewRun(run=run, definition=DEFINITION)

    async def enqueue(self, **fields: Any) -> str:
        (run_id,) = await self.store.enqueue([self.new(**fields)])
        return run_id

    async def claim(self, owner: str = "one", limit: int = 100, **how: Any) -> list[LoadedRun]:
        """With a long lease."""
        await self.store.renew(owner, LONG)
        return await self.store.claim_runs(owner, limit, NOW + 1_000_000, **how)

    async def running(self, **fields: Any) -> str:
        """A run that "one" has claimed: epoch 1."""
        run_id = await self.enqueue(**fields)
        (loaded,) = await self.claim(only=[run_id])
        assert loaded.run.id == run_id
        return run_id

    async def finished(self, status: RunStatus = RunStatus.SUCCEEDED, at: float = NOW, **fields: Any) -> str:
        run_id = await self.running(**fields)
        assert await self.commit(run_id, run=RunPatch(status=status, finished_at=at))
        return run_id

    async def commit(self, run_id: str, epoch: int = 1, **what: Any) -> bool:
        (accepted,) = await self.store.commit([Change(run_id=run_id, epoch=epoch, **what)])
        return accepted

    async def prune(self, before: float, limit: int = 10) -> list[str]:
        """The runs that finished before, as retention does it."""
        return await self.store.prune([run.id for run in await self.store.finished(before, limit)])

    async def run(self, run_id: str) -> Run:
        run = await self.store.get_run(run_id)
        assert run is not None, f"run {run_id} is gone"
        return run

    async def all_runs(self, **query: Any) -> list[Run]:
        """Every page of a list."""
        runs: list[Run] = []
        after: str | None = None
        while True:
            page = await self.store.list_runs(RunQuery(**{"limit": 2, **query, "after": after}))
            runs += page.items
            assert page.next is None or page.next != after, "the same page again"
            if (after := page.next) is None:
                return runs

    async def all_executions(self, run_id: str, **query: Any) -> list[Execution]:
        executions: list[Execution] = []
        after: str | None = None
        while True:
            page = await self.store.list_executions(ExecutionQuery(run_id=run_id, **{"limit": 2, **query, "after": after}))
            executions += page.items
            assert page.next is None or page.next != after, "the same page again"
            if (after := page.next) is None:
                return executions

    async def recount(self) -> dict[str, dict[RunStatus, int]]:
        """What ``counts`` has to say, counted one by one."""
        counted: dict[str, dict[RunStatus, int]] = {}
        for run in await self.all_runs(limit=50):
            of_name = counted.setdefault(run.name, {})
            of_name[run.status] = of_name.get(run.status, 0) + 1
        return counted


def execution(run_id: str, index: int = 0, attempt: int = 1, ordinal: int = 0, **fields: Any) -> Execution:
    id_ = execution_id(run_id, ordinal, index, attempt)
    defaults = {"node": f"node-{ordinal}", "status": ExecutionStatus.STARTING, "created_at": NOW}
    return Execution(id=id_, run_id=run_id, index=index, attempt=attempt, **{**defaults, **fields})


def patch(of: Execution, **fields: Any) -> ExecutionPatch:
    return ExecutionPatch(id=of.id, node=of.node, index=of.index, attempt=of.attempt, **fields)


def chunk(first_seq: int, first_line: int, records: Sequence[dict[str, Any]], cursor: str = "", next_seq: int = 0) -> LogChunk:
    """A chunk of log records, each a frame's body, see ``model.logs``."""
    data = msgspec.json.encode([[(NOW + first_seq) * 1e6, body] for body in records])
    lines = sum(body.get("n", 0) for body in records)
    return LogChunk(first_seq=first_seq, first_line=first_line, lines=lines, data=data, cursor=cursor, next_seq=next_seq)


def text_chunk(first_seq: int, first_line: int, *texts: str, cursor: str = "") -> LogChunk:
    """A chunk of one record of raw lines."""
    body = {"l": first_line, "n": len(texts), "s": 1, "x": "".join(f"{text}\n" for text in texts)}
    return chunk(first_seq, first_line, [body], cursor)


async def refusal(kind: type[Exception], awaitable: Awaitable[object]) -> Exception:
    """The error it must raise."""
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, nothing was raised")


async def soon(waiting: Awaitable[object]) -> None:
    """Fails after five seconds."""
    async with asyncio.timeout(5):
        await waiting


Check = Callable[[Any, Bench], Awaitable[None]]


def check(body: Check) -> Callable[[Any], None]:
    """Makes a plain test method of an async one that takes a ``Bench``."""

    def test(self: Suite) -> None:
        asyncio.run(_on_a_bench(self, body))

    # Not functools.wraps: pytest would follow it and take ``bench`` for a fixture.
    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return test


async def _on_a_bench(suite: Suite, body: Check) -> None:
    bench = Bench(suite)
    try:
        bench.store = await bench.another()
        await body(suite, bench)
    finally:
        await bench.close()

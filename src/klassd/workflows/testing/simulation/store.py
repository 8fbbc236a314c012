"""One process's handle on the store: a database at the end of a network, with the store in memory behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextvars import Context
from random import Random
from typing import Any, TypeVar

from klassd.workflows.errors import StoreError
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.page import Counts, ExecutionQuery, Page, RunQuery
from klassd.workflows.model.run import Change, Execution, LoadedRun, NodeRow, Run
from klassd.workflows.model.states import StartAnswer
from klassd.workflows.ports import NewRun
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.testing.simulation import faults as kinds
from klassd.workflows.testing.simulation.faults import Faults
from klassd.workflows.testing.simulation.invariants import Invariants
from klassd.workflows.testing.simulation.loop import SimLoop
from klassd.workflows.testing.simulation.process import SimProcess
from klassd.workflows.testing.simulation.trace import Trace

T = TypeVar("T")
Act = Callable[[], Coroutine[Any, Any, T]]

NO_ANSWER = 2.0  # seconds after which a call without an answer is given up
STALL = 30.0  # seconds at most until a stalled call is answered: two leases


class Hints:
    """Who watches the store, in all processes."""

    def __init__(self, loop: SimLoop, rng: Random, faults: Faults, trace: Trace) -> None:
        self._loop, self._rng, self._faults, self._trace = loop, rng, faults, trace
        self.watchers: list[Watching] = []
        self._context = Context()

    def ring(self) -> None:
        for watcher in self.watchers:
            if not watcher.coming and not watcher.process.dead:
                self._send(watcher)

    def _send(self, watcher: Watching) -> None:
        fault = self._faults.draw(kinds.HINTS)
        if fault == "hint.lost":
            return
        watcher.coming = True
        late = 3.0 if fault == "hint.late" else 0.01
        self._loop.call_later(self._rng.random() * late, self._arrived, watcher, context=self._context)
        if fault == "hint.twice":
            self._loop.call_later(self._rng.random() * 0.1, self._arrived, watcher, context=self._context)

    def _arrived(self, watcher: Watching) -> None:
        watcher.coming = False
        watcher.heard = True
        if watcher.waiting is not None and not watcher.waiting.done():
            self._trace.add(watcher.process.name, "hears a hint")
            watcher.waiting.set_result(None)


class Watching:
    """``ports.Store.watch`` of one process."""

    def __init__(self, hints: Hints, process: SimProcess) -> None:
        self._hints, self.process = hints, process
        self.coming = self.heard = False
        self.waiting: asyncio.Future[None] | None = None

    def __aiter__(self) -> Watching:
        if self not in self._hints.watchers:
            self._hints.watchers.append(self)
        return self

    async def __anext__(self) -> None:
        if not self.heard:
            self.waiting = asyncio.get_running_loop().create_future()
            try:
                await self.waiting
            finally:
                self.waiting = None
        self.heard = False


class SimStore:
    """``ports.Store``. Every handle sees one truth, in ``memory``."""

    def __init__(
        self,
        process: SimProcess,
        memory: MemoryStore,
        loop: SimLoop,
        rng: Random,
        faults: Faults,
        trace: Trace,
        hints: Hints,
        invariants: Invariants,
    ) -> None:
        self._process, self._memory, self._loop, self._rng = process, memory, loop, rng
        self._faults, self._trace, self._hints, self._invariants = faults, trace, hints, invariants
        self._context = Context()

    # -- messages -----------------------------------------------------------------------------------------------

    async def _call(self, verb: str, subject: str, act: Act[T], then: Callable[[T], object] | None = None) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        fault = self._faults.draw(kinds.STORE)
        if self._loop.time() < self._process.no_store_until:
            fault = "store.error_before"
        self._later(self._rng.random() ** 2 * 0.01, self._arrived, verb, subject, act, fault, answer, then)
        return await answer

    def _later(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        self._loop.call_later(seconds, call, *args, context=self._context)

    def _arrived(
        self,
        verb: str,
        subject: str,
        act: Act[T],
        fault: str | None,
        answer: asyncio.Future[T],
        then: Callable[[T], object] | None,
    ) -> None:
        """Whatever became of the caller meanwhile, a message that arrives has its effect."""
        if fault == "store.error_before":
            self._trace.add(self._process.name, f"{verb} {subject} [{fault}]")
            self._later(NO_ANSWER * self._rng.random(), _fail, answer, StoreError("the store did not answer"))
            return
        result, error = _now(act)
        self._trace.add(self._process.name, f"{verb} {subject}{f' [{fault}]' if fault else ''}{_short(result)}")
        if error is None and then is not None:
            then(result)  # type: ignore[arg-type]
        if fault == "store.error_after":
            self._later(NO_ANSWER * self._rng.random(), _fail, answer, StoreError("the store's answer was lost"))
        else:
            stall = self._rng.random() * STALL if fault else 0.0
            self._later(self._rng.random() ** 2 * 0.01 + stall, self._answered, verb, answer, result, error)

    def _answered(self, verb: str, answer: asyncio.Future[T], result: T, error: Exception | None) -> None:
        if error is not None:
            _fail(answer, error)
        elif not answer.done():
            answer.set_result(result)

    # -- what applications ask for ------------------------------------------------------------------------------

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def enqueue(self, runs: Sequence[NewRun]) -> list[str]:
        def then(ids: list[str]) -> None:
            self._invariants.enqueued(runs, ids)
            self._hints.ring()

        return await self._call("enqueue", ", ".join(new.run.id for new in runs), lambda: self._memory.enqueue(runs), then)

    async def request_cancel(self, run_id: str, now: float) -> bool:
        def then(asked: bool) -> None:
            self._invariants.cancel_requested(run_id, asked)
            self._hints.ring()

        return await self._call("request_cancel", run_id, lambda: self._memory.request_cancel(run_id, now), then)

    # -- ownership ----------------------------------------------------------------------------------------------

    async def renew(self, owner: str, ttl: float) -> bool:
        if self._loop.time() < self._process.no_renewal_until:
            await self._call("renew", "[lease.flap]", _nothing)
            raise StoreError("the lease could not be renewed")
        return await self._call(
            "renew", "", lambda: self._memory.renew(owner, ttl), lambda _: self._invariants.renewed(self._process, owner, ttl)
        )

    async def claim_runs(
        self,
        owner: str,
        limit: int,
        now: float,
        queues: Sequence[str] | None = None,
        only: Sequence[str] | None = None,
        abandoned: bool = False,
    ) -> list[LoadedRun]:
        def then(claimed: list[LoadedRun]) -> None:
            self._invariants.claimed(self._process, owner, claimed)
            if claimed:
                self._hints.ring()

        def claim() -> Coroutine[Any, Any, list[LoadedRun]]:
            return self._memory.claim_runs(owner, limit, now, queues, only, abandoned)

        return await self._call("claim_runs", "", claim, then)

    async def release(self, owner: str) -> None:
        def then(_: None) -> None:
            self._invariants.released(owner)
            self._hints.ring()

        await self._call("release", "", lambda: self._memory.release(owner), then)

    async def is_live(self, owner: str) -> bool:
        return await self._call("is_live", "", lambda: self._memory.is_live(owner))

    async def cancel_requests(self, owner: str) -> list[str]:
        return await self._call("cancel_requests", "", lambda: self._memory.cancel_requests(owner))

    async def next_due(self, now: float) -> float | None:
        return await self._call("next_due", "", lambda: self._memory.next_due(now))

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        def then(accepted: list[bool]) -> None:
            self._invariants.committed(self._process, changes, accepted)
            if any(accepted):
                self._hints.ring()

        accepted = await self._call("commit", " and ".join(map(_told, changes)), lambda: self._memory.commit(changes), then)
        self._invariants.acknowledged(self._process, changes, accepted)
        return accepted

    # -- what workers ask for -----------------------------------------------------------------------------------

    async def start_claim(self, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
        return await self._call(
            "start_claim", execution_id, lambda: self._memory.start_claim(execution_id, token_hash, started_by)
        )

    # -- reading ------------------------------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> Run | None:
        return await self._call("get_run", run_id, lambda: self._memory.get_run(run_id))

    async def find_runs(self, text: str, limit: int = 5) -> list[str]:
        return await self._call("find_runs", text, lambda: self._memory.find_runs(text, limit))

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        return await self._call("list_runs", "", lambda: self._memory.list_runs(query))

    async def counts(self) -> Counts:
        return await self._call("counts", "", self._memory.counts)

    async def get_definition(self, hash_: str) -> bytes | None:
        return await self._call("get_definition", hash_, lambda: self._memory.get_definition(hash_))

    async def list_nodes(self, run_id: str) -> list[NodeRow]:
        return await self._call("list_nodes", run_id, lambda: self._memory.list_nodes(run_id))

    async def get_execution(self, execution_id: str) -> Execution | None:
        return await self._call("get_execution", execution_id, lambda: self._memory.get_execution(execution_id))

    async def list_executions(self, query: ExecutionQuery) -> Page[Execution]:
        return await self._call("list_executions", query.run_id, lambda: self._memory.list_executions(query))

    async def log_cursor(self, execution_id: str) -> tuple[str, int, int]:
        return await self._call("log_cursor", execution_id, lambda: self._memory.log_cursor(execution_id))

    async def read_log(self, execution_id: str, first_line: int = 1, limit: int = 1000) -> list[LogLine]:
        return await self._call("read_log", execution_id, lambda: self._memory.read_log(execution_id, first_line, limit))

    async def finished(self, before: float, limit: int) -> list[Run]:
        return await self._call("finished", "", lambda: self._memory.finished(before, limit))

    async def prune(self, run_ids: Sequence[str]) -> list[str]:
        return await self._call("prune", " ".join(run_ids), lambda: self._memory.prune(run_ids))

    def watch(self) -> AsyncIterator[None]:
        return Watching(self._hints, self._process)


async def _nothing() -> None:
    return None


def _now(act: Act[T]) -> tuple[T | None, Exception | None]:
    """The store in memory never waits, so one step is all of it."""
    try:
        act().send(None)
    except StopIteration as done:
        return done.value, None
    except Exception as error:
        return None, error
    raise AssertionError("the store in memory waited for something")


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _told(change: Change) -> str:
    """What a change says, for a reader of the trace."""
    parts = [change.run_id, f"epoch {change.epoch}"]
    if change.run is not None and change.run.status is not None:
        parts.append(f"run {change.run.status}")
    parts += [f"{row.name} {row.status}" for row in change.nodes]
    parts += [f"+{row.id[20:]} {row.status}" for row in change.started]
    parts += [f"{patch.id[20:]} {patch.status}" for patch in change.updated if isinstance(patch.status, str)]
    if change.logs:
        parts.append(f"{len(change.logs)} chunks")
    return ", ".join(parts)


def _short(result: object) -> str:
    if isinstance(result, list):
        shown = (entry.run.id if isinstance(entry, LoadedRun) else str(entry) for entry in result[:5])
        return f" -> {', '.join(shown) or 'nothing'}"
    return f" -> {result}" if isinstance(result, bool | str | tuple) or result is None else ""

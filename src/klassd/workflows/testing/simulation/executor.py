"""One scheduler's way to the cluster: messages that take their time, get lost, and are answered twice or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import Context
from random import Random
from typing import Any

import msgspec

from klassd.workflows.executors.telling import Telling
from klassd.workflows.model.execution import Exit, Finished, Told, Unknown
from klassd.workflows.order import Order
from klassd.workflows.testing.clock import START
from klassd.workflows.testing.simulation import faults as kinds
from klassd.workflows.testing.simulation.cluster import Cluster, SimJob
from klassd.workflows.testing.simulation.faults import Faults
from klassd.workflows.testing.simulation.invariants import Invariants
from klassd.workflows.testing.simulation.loop import SimLoop
from klassd.workflows.testing.simulation.process import SimProcess
from klassd.workflows.testing.simulation.trace import Trace

PLACE = "cluster"
NO_ANSWER = 3.0  # seconds after which a call without an answer is given up
STALL = 60.0  # seconds at most that a message stays on its way


class SimExecutor:
    """``ports.Executor``, ``ports.LeavesBehind`` and ``ports.LosesSight``. Several of them share one cluster."""

    def __init__(
        self,
        process: SimProcess,
        cluster: Cluster,
        loop: SimLoop,
        rng: Random,
        faults: Faults,
        trace: Trace,
        invariants: Invariants,
        concurrency: int,
    ) -> None:
        self.process, self.cluster, self.trace, self.loop = process, cluster, trace, loop
        self._rng, self.faults, self._invariants = rng, faults, invariants
        self._concurrency = concurrency
        self._context = Context()

    @property
    def place(self) -> str:
        return PLACE

    @property
    def concurrency(self) -> int:
        return self._concurrency

    @property
    def claims_starts(self) -> bool:
        return self.cluster.claiming is not None

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def launch(self, order: Order) -> None:
        self._invariants.launching(self.process, order, self._concurrency)
        fault = self.faults.draw(kinds.LAUNCH)
        full = fault == "launch.delayed"
        if self.claims_starts and fault is None and self.faults.draw(kinds.HAND_OVER):
            fault, order = "launch.error_after", msgspec.structs.replace(order, claim="")
        await self._call("launch", order.execution_id, fault, lambda: self.cluster.launch(order, full))

    async def stop(self, execution_id: str, grace: float) -> None:
        fault = self.faults.draw(kinds.STOP)
        await self._call("stop", execution_id, fault, lambda: self.cluster.stop(execution_id, grace))

    async def reap(self, execution_id: str) -> None:
        fault = self.faults.draw(kinds.REAP)
        await self._call("reap", execution_id, fault, lambda: self._reap(execution_id))

    def _reap(self, execution_id: str) -> None:
        self._invariants.reaping(execution_id)
        self.cluster.reap(execution_id)

    async def unknown_since(self, execution_id: str) -> float | None:
        found: list[float | None] = []
        await self._call("ask", execution_id, None, lambda: found.append(self.cluster.unknown_since(execution_id)))
        return found[0]

    async def unreaped(self) -> Sequence[str]:
        await asyncio.sleep(self.latency())
        return [job.id for job in self.cluster.unreaped]

    def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        return Following(self, execution_id, cursor, seq, line)

    # -- messages -----------------------------------------------------------------------------------------------

    def later(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        self.loop.call_later(seconds, call, *args, context=self._context)

    def latency(self) -> float:
        return self._rng.random() ** 2 * 0.02

    @property
    def cut_off(self) -> bool:
        return self.loop.time() < self.process.no_cluster_until

    async def _call(self, verb: str, subject: str, fault: str | None, act: Callable[[], None]) -> None:
        answer: asyncio.Future[None] = self.loop.create_future()
        if self.cut_off:
            fault = f"{verb}.error_before"
        way = self.latency() + (self._rng.random() * STALL if fault == f"{verb}.stall" else 0.0)
        self.later(way, self._arrived, verb, subject, fault, act, answer)
        await answer

    def _arrived(
        self, verb: str, subject: str, fault: str | None, act: Callable[[], None], answer: asyncio.Future[None]
    ) -> None:
        problem: Exception | None = None
        if fault in ("stop.lost", "stop.error", f"{verb}.error_before"):
            problem = None if fault == "stop.lost" else TimeoutError("no answer")
        else:
            problem = self._done(act)
            if fault == f"{verb}.error_after":
                problem = TimeoutError("no answer")
        self.trace.add(
            self.process.name, f"{verb} {subject}{f' [{fault}]' if fault else ''}{f': {problem}' if problem else ''}"
        )
        self.later(self.latency() + (NO_ANSWER if fault and "error" in fault else 0.0), _answer, answer, problem)

    @staticmethod
    def _done(act: Callable[[], None]) -> Exception | None:
        try:
            act()
        except Exception as error:
            return error
        return None


def _answer(answer: asyncio.Future[None], problem: Exception | None) -> None:
    if answer.done():
        return
    if problem:
        answer.set_exception(problem)
    else:
        answer.set_result(None)


class Following:
    """What an execution says, in portions; cut, repeated or late by the seed. Ends as ``ports.Executor.follow`` promises."""

    def __init__(self, executor: SimExecutor, execution_id: str, cursor: str, seq: int, line: int) -> None:
        self._executor, self._id = executor, execution_id
        self._heard = int(cursor or 0)
        self._telling = Telling(self._heard, seq, line)
        self._over = False
        self._dark_since: float | None = None  # as it was told
        self._again: list[Told] | None = None

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Sequence[Told]:
        if self._over:
            raise StopAsyncIteration
        if again := self._again:
            self._again = None
            return again
        while True:
            if batch := await self._next():
                return self._told(batch)

    async def _next(self) -> list[Told]:
        executor = self._executor
        fault = executor.faults.draw(kinds.FOLLOW)
        await self._pass(20.0 if fault == "follow.stall" else executor.latency())
        if fault == "follow.cut" or executor.cut_off:
            raise ConnectionError(f"the log of {self._id} was cut off")
        job = executor.cluster.jobs.get(self._id)
        if job is None or job.gone or job.reaped:
            executor.cluster.claims.add(self._id)  # what is told as lost is never started by an order that comes later
            return [Finished(exit=Exit(reason="lost", message="nothing is known of it here"), at=self._now())]
        if job.dark_since != self._dark_since:
            return [self._sight(job)]
        batch = [] if job.dark else self._portion(job)
        if not batch and (job.dark or not job.ended):
            if job.dark or self._heard == len(job.console.frames):  # else the rest of it is there already
                await self._news(job)
            return []
        if fault == "follow.cut_unheard":
            raise ConnectionError(f"the log of {self._id} was cut off")
        if fault == "follow.twice" and not self._over:
            self._again = batch
        return batch

    def _sight(self, job: SimJob) -> Unknown:
        self._dark_since = job.dark_since
        if job.dark_since is None:
            return Unknown(since=None)
        return Unknown(since=START + job.dark_since, why=f"node {job.node} is out of sight")

    def _portion(self, job: SimJob) -> list[Told]:
        frames = job.console.frames
        until = min(len(frames), self._heard + 1 + int(self._executor.latency() * 1000))
        for place in range(self._heard, until):
            frame = frames[place]
            if place >= job.rotated or frame.kind not in ("out", "log"):
                self._telling.take(frame, place + 1)
        self._heard = until
        batch = self._telling.batch()
        if job.ended and job.end is None and until == len(frames):
            batch.append(Finished(exit=job.exit, at=self._now()))
            self._over = True
        self._over = self._over or self._telling.finished
        return batch

    def _told(self, batch: list[Told]) -> list[Told]:
        self._over = self._over or isinstance(batch[-1], Finished)
        said = ", ".join(type(told).__name__.lower() for told in batch)
        self._executor.trace.add(self._executor.process.name, f"hears {said} of {self._id}")
        return batch

    def _now(self) -> float:
        return START + self._executor.loop.time()

    async def _news(self, job: SimJob) -> None:
        woken: asyncio.Future[None] = self._executor.loop.create_future()
        job.listeners.append(lambda: _answer(woken, None))
        await woken

    async def _pass(self, seconds: float) -> None:
        passed: asyncio.Future[None] = self._executor.loop.create_future()
        self._executor.later(seconds, _answer, passed, None)
        await passed

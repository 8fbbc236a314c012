"""One owned run: its state in memory, the decisions about it, and its executions.

    decide   event -> advance -> apply to memory -> change to the pipeline -> effects once it is committed
    attempt  launch -> follow -> heard ... -> the end is a decision

Everything here runs on one event loop and never waits between reading the state and applying a decision, so no lock is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.engine.arming import armed, claims_starts
from klassd.workflows.engine.course import Course
from klassd.workflows.engine.dispatch import Dispatcher, Gate
from klassd.workflows.engine.lease import Lease
from klassd.workflows.engine.pipeline import Effect, Pipeline
from klassd.workflows.engine.unknown import given_up, stays_unknown
from klassd.workflows.errors import LaunchDelayed, LaunchRefused, StoreError
from klassd.workflows.model.execution import (
    Exit,
    Finished,
    Output,
    Progress,
    Ready,
    Started,
    Told,
    Unknown,
    Waiting,
)
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, LoadedRun, LogChunk, RunPatch, execution_id
from klassd.workflows.model.states import Cause, ExecutionStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node
from klassd.workflows.options import Needs
from klassd.workflows.order import Order
from klassd.workflows.ports import Clock, Executor, Ids, Spawned, Spawner, Store
from klassd.workflows.rules import inputs, lifecycle, pods, retries, services
from klassd.workflows.rules.advance import Begun, Cancelled, Event, Start, TaskEnded, TaskReady, advance
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.rules.state import RunState

log = logging.getLogger("klassd.workflows")

TaskId = tuple[str, int]  # node, index
REREAD = 1.0  # seconds before a console that could not be read is tried again
AGAIN = 1.0  # seconds before an executor that did not answer is asked again
LOCAL = "127.0.0.1"  # where a service is whose executor does not say
BARS = 100  # progress bars kept of one execution
INSIST = 5.0  # seconds after the grace before a stop is asked for again


@dataclass(slots=True)
class Deps:
    """What every keeper of one scheduler shares."""

    store: Store
    executor: Executor
    clock: Clock
    ids: Ids
    spawner: Spawner
    lease: Lease
    dispatcher: Dispatcher[tuple[Keeper, Live]]
    gate: Gate
    launching: AbstractAsyncContextManager[object]  # what the executor takes at once
    call: Callable[[str, dict[str, Any]], object]
    config: dict[str, Any]
    resources: Mapping[str, Needs]  # by job; stronger than what the code asks for
    artifacts: str
    version: str
    released: Callable[[], None]  # a slot became free
    forget: Callable[[Keeper], None]  # it keeps its run no longer


@dataclass(slots=True)
class Live:
    """An execution that is not final."""

    id: str
    task: TaskId
    attempt: int
    node: Node
    status: ExecutionStatus
    adopted: bool = False  # an earlier owner may have launched it
    slot: bool = False
    inside: bool = False  # through the gate: launched, or about to be
    stop_requested: bool = False
    started_at: float | None = None
    lines: int = 0  # of its console, heard so far
    gone: str = ""  # why it cannot be followed any more
    waiting: str | None = None  # why it was not started yet, or that nobody can tell whether it runs
    unknown: float | None = None  # since when nobody can tell whether it runs
    late: bool = False  # its start deadline passed
    course: Course = field(default_factory=Course)
    token_hashes: tuple[str, ...] = ()  # that earlier owners have stored
    bars: dict[str, Any] = field(default_factory=dict)
    following: Spawned | None = None
    launched: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, bars: dict[str, Any]) -> dict[str, Any]:
        """All its bars: those that are told now, and what is known of the others. Of too many, those that moved last."""
        moved = {name: bar for name, bar in self.bars.items() if name not in bars} | bars
        self.bars = dict(list(moved.items())[-BARS:])
        return self.bars


class Keeper:
    def __init__(self, deps: Deps, loaded: LoadedRun, definition: Definition) -> None:
        self._deps = deps
        self.run = loaded.run
        self._definition = definition
        self._nodes = {node.name: node for node in definition.nodes}
        self._ordinals = {node.name: ordinal for ordinal, node in enumerate(definition.nodes)}
        self.state = RunState.load(definition, loaded)
        self._live: dict[TaskId, Live] = {}
        self._ended = False
        self._loaded = loaded.executions
        self.pipeline = Pipeline(deps.store, deps.clock, deps.spawner, self.run.id, self.drop, self._spoil)

    # -- decisions ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Resume what the store says is under way, then start whatever ought to run."""
        for execution in self._loaded:
            if not execution.status.final:
                self._resume(execution)
        self._loaded = ()
        self._decide(Begun())
        if self.run.cancel_requested_at is not None:
            self.cancel()

    def cancel(self) -> None:
        self._decide(Cancelled())

    def _decide(
        self, event: Event, updated: tuple[ExecutionPatch, ...] = (), logs: _Logs = (), effects: Sequence[Effect] = ()
    ) -> None:
        if self._ended:
            return
        now = self._deps.clock.now()
        delta = advance(self.state, event, now, self._deps.call)
        if delta.empty and not updated and not logs and not effects:
            return
        self.state.apply(delta)
        begun = [self._begin_task(start, now) for start in delta.started]
        stops = [self._live[node, index] for node, index, attempt in delta.stop if self._is_live(node, index, attempt)]
        came_to = delta.run.status if delta.run and delta.run.status and delta.run.status.final else None
        change = Change(
            run_id=self.run.id,
            epoch=self.run.epoch,
            run=delta.run,
            nodes=delta.nodes,
            started=tuple(execution for execution, _ in begun),
            updated=updated + tuple(self._stopping(live) for live in stops if live.status is not ExecutionStatus.QUEUED),
            logs=logs,
        )
        self.pipeline.add(
            change, [*effects, *(effect for _, effect in begun if effect), *self._stop_effects(stops), *self._end(came_to)]
        )
        for live in stops:
            if live.status is ExecutionStatus.QUEUED:
                live.stop_requested = True
                self._finish(live, _never_started())

    @property
    def ended(self) -> bool:
        """Nothing more will be decided here."""
        return self._ended

    def _end(self, status: RunStatus | None) -> list[Effect]:
        """``status``: what the run came to; None: it goes on."""
        self._ended = self._ended or status is not None
        return [lambda: self._over(status)] if status is not None else []

    def _over(self, status: RunStatus) -> None:
        log.info("run %s of %s %s", self.run.id, self.run.name, status, extra={"run": self.run.id, "status": str(status)})
        self._deps.forget(self)

    def drop(self) -> None:
        """Another owner has the run: let go without a trace. What runs goes on running, for the other to adopt."""
        self._ended = True
        self.pipeline.close()
        self._let_go()
        self._deps.forget(self)

    def _let_go(self) -> None:
        lives, self._live = list(self._live.values()), {}
        for live in lives:
            self._release(live)
            if live.following:
                live.following.cancel()

    def quarantine(self, error: BaseException) -> None:
        """A run that makes the engine itself stumble ends with that error, so that the others go on."""
        if self._ended:
            return
        log.error("run %s failed inside the engine", self.run.id, exc_info=error)
        for live in self._live.values():
            self._spawn(self._deps.executor.stop(live.id, 0.0), f"stop {live.id}")
        self._let_go()
        patch = RunPatch(status=RunStatus.FAILED, finished_at=self._deps.clock.now(), error=f"engine error: {error!r}")
        self.pipeline.add(Change(run_id=self.run.id, epoch=self.run.epoch, run=patch), self._end(RunStatus.FAILED))

    def _spoil(self, error: Exception) -> None:
        """What was decided holds something that no store can hold."""
        self._ended = False
        self.quarantine(error)

    # -- starting -----------------------------------------------------------------------------------------------

    def _begin_task(self, start: Start, now: float) -> tuple[Execution, Effect | None]:
        """The row of a new attempt, already starting where a slot is free: one write less."""
        node = self._nodes[start.node]
        queue = node.options.queue
        at_once = start.not_before <= now and (node.service is not None or self._deps.dispatcher.take(queue))
        live = Live(
            id=execution_id(self.run.id, self._ordinals[start.node], start.index, start.attempt),
            task=(start.node, start.index),
            attempt=start.attempt,
            node=node,
            status=ExecutionStatus.STARTING if at_once else ExecutionStatus.QUEUED,
            slot=at_once and node.service is None,
        )
        self._live[live.task] = live
        execution = Execution(
            id=live.id,
            run_id=self.run.id,
            node=start.node,
            index=start.index,
            attempt=start.attempt,
            job=node.job,
            status=live.status,
            created_at=now,
            not_before=start.not_before,
            launched_at=now if at_once else None,
            place=self._deps.executor.place if at_once else None,
            memory=start.memory,
        )
        return execution, self._when_due(live, start.not_before, now, at_once)

    def _when_due(self, live: Live, not_before: float, now: float, at_once: bool) -> Effect | None:
        if at_once:
            return lambda: self._spawn_attempt(live, launch=True)
        if not_before > now:
            return lambda: self._spawn(self._wait_until(live, not_before), live.id)
        self._wait(live)
        return None

    async def _wait_until(self, live: Live, not_before: float) -> None:
        await self._deps.clock.sleep(max(0.0, not_before - self._deps.clock.now()))
        if self._current(live):
            self._wait(live)
            self._deps.released()

    def _wait(self, live: Live) -> None:
        """For a slot. A service takes none: what it waits for could then be waiting for its slot."""
        if live.node.service is not None:
            self.start(live)
            return
        options = live.node.options
        self._deps.dispatcher.wait(options.queue, options.priority, self.run.id, (self, live))

    def start(self, live: Live) -> None:
        """The dispatcher gave this waiting execution a slot; a service needs none."""
        live.slot = live.node.service is None
        if not self._current(live) or live.status is not ExecutionStatus.QUEUED:
            self._release(live)
            return
        now = self._deps.clock.now()
        live.status = lifecycle.step(live.status, "start")
        patch = self._patch(live, status=live.status, launched_at=now, place=self._deps.executor.place)
        self.pipeline.add(self._change(updated=(patch,)), [lambda: self._spawn_attempt(live, launch=True)])

    def _resume(self, execution: Execution) -> None:
        """An execution that an earlier owner left: waiting, launched perhaps, or running."""
        live = Live(
            id=execution.id,
            task=(execution.node, execution.index),
            attempt=execution.attempt,
            node=self._nodes[execution.node],
            status=execution.status,
            adopted=True,
            started_at=execution.started_at,
            bars=execution.progress,
            waiting=execution.waiting,
            course=Course(execution.located, execution.phases),
            token_hashes=execution.token_hashes,
            stop_requested=execution.status is ExecutionStatus.STOPPING,
        )
        self._live[live.task] = live
        if execution.status is ExecutionStatus.QUEUED:
            self._spawn(self._wait_until(live, execution.not_before), live.id)
            return
        if live.node.service is None:
            self._deps.dispatcher.occupy(live.node.options.queue)
            live.slot = True
            if execution.status is not ExecutionStatus.STARTING:
                self._deps.gate.occupy()
                live.inside = True
        here = execution.place == self._deps.executor.place
        if not here:
            live.gone = f"it was running at {execution.place}, which is gone: that machine was restarted, or is another one"
        if live.started_at is not None and live.waiting:  # nobody knew whether it runs; if that is still so, we shall be told
            self.pipeline.add(self._change(updated=(self._patch(live, **self._waits_no_more(live)),)))
        self._spawn_attempt(live, launch=here and execution.status is ExecutionStatus.STARTING)
        if live.stop_requested and here:
            self._spawn(self._insist_on_stop(live), live.id)

    # -- one attempt --------------------------------------------------------------------------------------------

    def _spawn_attempt(self, live: Live, launch: bool) -> None:
        if self._current(live):
            live.following = self._spawn(self._attempt(live, launch), live.id)

    async def _attempt(self, live: Live, launch: bool) -> None:
        try:
            if launch and live.node.service is None:
                await self._deps.gate.enter()
                live.inside = True
            if launch and (refused := await self._launch(live)):
                self._finish(live, refused)
                return
            live.launched.set()
            await self._follow(live, resumed=not launch)
        except Exception as error:
            self.quarantine(error)

    async def _follow(self, live: Live, resumed: bool) -> None:
        """To its end. Trouble in reading is ours, not the job's: read on from what is stored."""
        while self._current(live):
            try:
                cursor = await self._deps.store.log_cursor(live.id) if resumed else ("", 0, 1)
                live.lines = cursor[2] - 1
                mark("before:follow")
                async for batch in self._told(live, cursor):
                    self._heard(live, batch)
                    mark("after:heard")
                    await self.pipeline.room()
            except (OSError, StoreError) as error:
                log.warning("execution %s cannot be read, trying again in %g s: %s", live.id, REREAD, error)
                await self.pipeline.flushed()
                await self._deps.clock.sleep(REREAD)
            resumed = True

    async def _told(self, live: Live, cursor: tuple[str, int, int]) -> AsyncIterator[Sequence[Told]]:
        if live.gone:
            yield [Finished(exit=Exit(reason=Cause.LOST, message=live.gone), at=self._deps.clock.now())]
            return
        async for batch in self._deps.executor.follow(live.id, *cursor):
            yield batch

    async def _launch(self, live: Live) -> Finished | None:
        """Hand it to the executor; the end of it where it can never start. What runs perhaps, only its executor can end."""
        if live.stop_requested:
            return None if live.adopted else _never_started()
        try:
            order = await self._armed(live, self._order(live))
        except inputs.ResolveError as error:
            return Finished(exit=Exit(reason=Cause.INPUT, message=str(error)), at=self._deps.clock.now())
        if live.node.options.start_deadline is not None:
            self._spawn(self._watch_start(live, live.node.options.start_deadline), live.id)
        while True:
            try:
                async with self._deps.launching:
                    await self._deps.lease.held()
                    mark("before:launch")
                    await self._deps.executor.launch(self._with_expiry(order))
                    mark("after:launch")
                return None
            except LaunchRefused as error:
                return Finished(exit=Exit(reason=Cause.LAUNCH, message=str(error)), at=self._deps.clock.now())
            except LaunchDelayed as delayed:
                if live.late or live.stop_requested:
                    return None  # an order may be under way still: only its follower can make sure that it starts nothing
                log.warning("execution %s cannot start now, trying again in %.2g s: %s", live.id, delayed.retry_after, delayed)
                self._tell_waits(live, str(delayed))
                await self._deps.clock.sleep(delayed.retry_after)
            except OSError as error:
                if live.late or live.stop_requested:
                    return None  # it may have been started: its follower finds out
                log.warning("execution %s: no answer to its launch, trying again in %g s: %s", live.id, AGAIN, error)
                self._tell_waits(live, str(error))
                await self._deps.clock.sleep(AGAIN)

    async def _armed(self, live: Live, order: Order) -> Order:
        if not claims_starts(self._deps.executor):
            return order
        return await armed(order, self._patch(live), live.token_hashes, self.run.epoch, self._deps.ids, self.pipeline)

    def _order(self, live: Live) -> Order:
        node, run = live.node, self.run
        return Order(
            execution_id=live.id,
            run_id=run.id,
            node=node.name,
            index=live.task[1],
            attempt=live.attempt,
            job=node.job,
            source=node.source,
            app=self._definition.app,
            inputs=inputs.resolve(self.state, node.name, live.task[1]),
            timeout=node.options.timeout,
            grace=node.options.grace,
            start_deadline=node.options.start_deadline,
            tenant=run.tenant,
            tags=run.tags,
            idempotency_key=f"{run.id}-{self._ordinals[node.name]}-{live.task[1]}",
            fencing_token=run.epoch * 1000 + live.attempt,
            config=self._deps.config,
            artifacts=self._deps.artifacts,
            nonce=self._deps.ids.token(),
            version=self._deps.version,
            service=node.service,
            container=node.container,
            pod=pods.asked(node, self._deps.resources, self.state.nodes[node.name].tasks[live.task[1]].memory),
        )

    def _heard(self, live: Live, batch: Sequence[Told]) -> None:
        if not self._current(live):
            return
        live.course.hear(batch)
        said: dict[str, Any] = {}
        logs: list[tuple[str, LogChunk]] = []
        for told in batch:
            if isinstance(told, Output):
                logs.append((live.id, told.chunk))
                live.lines = told.chunk.first_line + told.chunk.lines - 1
            else:
                said.update(self._said(live, told))
        if finished := _first(batch, Finished):  # though it was ready for a moment: nobody has heard of it
            self._finish(live, finished, said, tuple(logs))
        elif ready := self._is_ready(live, batch):
            live.status = said["status"] = lifecycle.step(live.status, "ready")
            self._decide(ready, (self._patch(live, **said),), tuple(logs))
        elif said or logs:
            updated = (self._patch(live, **said),) if said else ()
            self.pipeline.add(self._change(updated=updated, logs=tuple(logs)))

    def _said(self, live: Live, told: Told) -> dict[str, Any]:
        """What it changes of the execution's row."""
        if isinstance(told, Started):
            return self._started(live, told)
        if isinstance(told, Waiting):
            return self._waits(live, told.why)
        if isinstance(told, Unknown):
            return self._unknown(live, told)
        return {"progress": live.show(told.bars)} if isinstance(told, Progress) else {}

    def _started(self, live: Live, told: Started) -> dict[str, Any]:
        if live.started_at is not None:
            return {}
        live.started_at = told.at
        live.status = lifecycle.step(live.status, "started")
        return {"status": live.status, "started_at": told.at} | self._waits_no_more(live)

    def _is_ready(self, live: Live, batch: Sequence[Told]) -> TaskReady | None:
        """What it means, for a service that was not ready before."""
        service, told = live.node.service, _first(batch, Ready)
        if service is None or told is None or live.status not in (ExecutionStatus.STARTING, ExecutionStatus.RUNNING):
            return None
        address = inputs.joined(told.host or LOCAL, told.port or service.port or None)
        return TaskReady(live.task[0], live.attempt, address)

    def _tell_waits(self, live: Live, why: str) -> None:
        if self._current(live) and (said := self._waits(live, why)):
            self.pipeline.add(self._change(updated=(self._patch(live, **said),)))

    def _waits(self, live: Live, why: str) -> dict[str, Any]:
        if live.started_at is not None or why == live.waiting:
            return {}
        live.waiting = why
        return {"waiting": why}

    def _unknown(self, live: Live, told: Unknown) -> dict[str, Any]:
        if told.since == live.unknown:
            return {}
        live.unknown = told.since
        if told.since is None:
            return self._waits_no_more(live)
        if (patience := live.node.options.lost_after) is not None:
            self._spawn(self._give_up(live, told, patience), live.id)
        live.waiting = told.why
        return {"waiting": told.why}

    async def _give_up(self, live: Live, told: Unknown, patience: float) -> None:
        lost = await stays_unknown(self._deps.executor, self._deps.clock, live.id, told, patience)
        if lost and self._current(live) and live.unknown == told.since:
            if live.following:
                live.following.cancel()
            self._finish(live, given_up(told, patience, self._deps.clock.now()))

    def _waits_no_more(self, live: Live) -> dict[str, Any]:
        waited, live.waiting = live.waiting, None
        return {"waiting": None} if waited else {}

    # -- the end of an execution --------------------------------------------------------------------------------

    def _finish(self, live: Live, finished: Finished, said: dict[str, Any] | None = None, logs: _Logs = ()) -> None:
        seen = _did_not_start(live, finished) if _is_late(live, finished) else finished
        verdict = lifecycle.verdict(seen, live.stop_requested, of_container=live.node.container is not None)
        verdict = services.judged(self.state, live.task[0], self._explained(live, verdict))
        live.status = verdict.status
        del self._live[live.task]
        self._release(live)
        patch = self._patch(live, **(said or {}) | self._waits_no_more(live) | self._final(live, verdict, finished))
        event = TaskEnded(live.task[0], live.task[1], live.attempt, verdict, verdict.output, verdict.outputs)
        self._decide(event, (patch,), logs, [lambda: self._reap(live)])

    def _explained(self, live: Live, verdict: Verdict) -> Verdict:
        """Where another attempt follows by the policy, or none does."""
        if self.state.status is not RunStatus.RUNNING:
            return verdict
        task = self.state.nodes[live.task[0]].tasks[live.task[1]]
        return retries.explained(live.node.options.retry, task.failures, verdict, task.memory)

    def _final(self, live: Live, verdict: Verdict, finished: Finished) -> dict[str, Any]:
        end = finished.end
        return {
            "status": verdict.status,
            "finished_at": finished.at or self._deps.clock.now(),
            "cause": verdict.cause,
            "error": verdict.message,
            "detail": verdict.detail,
            "exit_code": verdict.exit_code,
            "output": verdict.output,
            "outputs": verdict.outputs,
            "warnings": verdict.warnings,
            "log_lines": end.lines if end else live.lines,
        } | ({"memory": verdict.memory} if verdict.memory else {})

    def _reap(self, live: Live) -> None:
        self._spawn(self._until_answered("reap", live, lambda: self._deps.executor.reap(live.id)), f"reap {live.id}")

    async def _until_answered(self, verb: str, live: Live, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await ask()
            except OSError as error:
                log.warning("execution %s: no answer to its %s, trying again in %g s: %s", live.id, verb, AGAIN, error)
                await self._deps.clock.sleep(AGAIN)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _stopping(self, live: Live) -> ExecutionPatch:
        live.stop_requested = True
        live.status = lifecycle.step(live.status, "stop")
        return self._patch(live, status=live.status)

    def _stop_effects(self, stops: Iterable[Live]) -> list[Effect]:
        return [self._stop_effect(live) for live in stops if live.stop_requested]

    def _stop_effect(self, live: Live) -> Effect:
        return lambda: self._spawn(self._insist_on_stop(live), f"stop {live.id}")

    async def _insist_on_stop(self, live: Live, grace: float | None = None) -> None:
        """Ask until it is dead: a request can be lost with whoever held it."""
        grace = live.node.options.grace if grace is None else grace
        await live.launched.wait()
        await self._deps.lease.held()  # else it may be another's by now, and doing well
        while self._current(live):
            mark("before:stop")
            await self._until_answered("stop", live, lambda: self._deps.executor.stop(live.id, grace))
            mark("after:stop")
            await self._deps.clock.sleep(grace + INSIST)
            await self._deps.lease.held()

    async def _watch_start(self, live: Live, deadline: float) -> None:
        await self._deps.clock.sleep(deadline)
        if self._current(live) and live.started_at is None:
            live.late = True
            await self._insist_on_stop(live, grace=0.0)

    # -- small things -------------------------------------------------------------------------------------------

    def _with_expiry(self, order: Order) -> Order:
        return msgspec.structs.replace(order, expires=self._deps.lease.until)

    def _change(self, updated: tuple[ExecutionPatch, ...] = (), logs: _Logs = ()) -> Change:
        return Change(run_id=self.run.id, epoch=self.run.epoch, updated=updated, logs=logs)

    def _patch(self, live: Live, **said: Any) -> ExecutionPatch:
        return ExecutionPatch(
            id=live.id, node=live.task[0], index=live.task[1], attempt=live.attempt, **live.course.news(), **said
        )

    def _release(self, live: Live) -> None:
        if live.inside:
            live.inside = False
            self._deps.gate.leave()
        if live.slot:
            live.slot = False
            self._deps.dispatcher.release(live.node.options.queue)
            self._deps.released()

    def _current(self, live: Live) -> bool:
        return not self._ended and self._live.get(live.task) is live

    def _is_live(self, node: str, index: int, attempt: int) -> bool:
        live = self._live.get((node, index))
        return live is not None and live.attempt == attempt and not live.stop_requested

    def _spawn(self, coroutine: Any, name: str) -> Spawned:
        return self._deps.spawner.spawn(coroutine, name)


_Logs = tuple[tuple[str, LogChunk], ...]


T = TypeVar("T", Finished, Ready)


def _first(batch: Iterable[Told], kind: type[T]) -> T | None:
    return next((told for told in batch if isinstance(told, kind)), None)


def _never_started() -> Finished:
    return Finished(exit=Exit(reason=Cause.STOPPED, message="stopped before it started"))


def _is_late(live: Live, finished: Finished) -> bool:
    """It was stopped because of its start deadline: by us, or by an earlier owner that did not live to say so. Perhaps it
    had started meanwhile; nobody asked for its end all the same."""
    if live.node.options.start_deadline is None or live.stop_requested or live.unknown is not None:
        return False
    stopped = finished.end.requested == "stop" if finished.end else finished.exit.reason == Cause.STOPPED
    return (stopped and (live.late or live.adopted)) or (live.late and live.started_at is None)


def _did_not_start(live: Live, finished: Finished) -> Finished:
    message = f"it did not start within {live.node.options.start_deadline:g} s"
    message += f": {live.waiting}" if live.waiting else ""
    return Finished(exit=Exit(reason=Cause.START_DEADLINE, message=message), at=finished.at)

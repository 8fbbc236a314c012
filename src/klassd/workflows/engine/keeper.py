"""One owned run: its state in memory, the decisions about it, and its executions.

    decide   event -> advance -> apply to memory -> change to the pipeline -> effects once it is committed
    attempt  launcher -> listener ... -> the end is a decision

Everything in it runs on one event loop and never waits between reading the state and applying a decision, so no lock is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from klassd.workflows.engine import ends, launcher, listener, stopper
from klassd.workflows.engine.keeping import Deps, Logs
from klassd.workflows.engine.live import Live, TaskId, adopted
from klassd.workflows.engine.pipeline import Effect, Pipeline
from klassd.workflows.model.execution import Finished
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, LoadedRun, RunPatch, execution_id
from klassd.workflows.model.states import ExecutionStatus, RunStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.ports import Spawned
from klassd.workflows.rules import lifecycle
from klassd.workflows.rules.advance import Begun, Cancelled, Event, Start, TaskEnded, advance
from klassd.workflows.rules.state import RunState

log = logging.getLogger("klassd.workflows")


class Keeper:
    def __init__(self, deps: Deps, loaded: LoadedRun, definition: Definition) -> None:
        self.deps = deps
        self.run = loaded.run
        self.definition = definition
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
        self.decide(Begun())
        if self.run.cancel_requested_at is not None:
            self.cancel()

    def cancel(self) -> None:
        self.decide(Cancelled())

    def decide(
        self, event: Event, updated: tuple[ExecutionPatch, ...] = (), logs: Logs = (), effects: Sequence[Effect] = ()
    ) -> None:
        if self._ended:
            return
        now = self.deps.clock.now()
        delta = advance(self.state, event, now, self.deps.call)
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
                self.finish(live, ends.never_started())

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
        self.deps.forget(self)

    def drop(self) -> None:
        """Another owner has the run: let go without a trace. What runs goes on running, for the other to adopt."""
        self._ended = True
        self.pipeline.close()
        self._let_go()
        self.deps.forget(self)

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
            self.spawn(self.deps.executor.stop(live.id, 0.0), f"stop {live.id}")
        self._let_go()
        patch = RunPatch(status=RunStatus.FAILED, finished_at=self.deps.clock.now(), error=f"engine error: {error!r}")
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
        at_once = start.not_before <= now and (node.service is not None or self.deps.dispatcher.take(queue))
        live = Live(
            id=execution_id(self.run.id, self.ordinal(start.node), start.index, start.attempt),
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
            place=self.deps.executor.place if at_once else None,
            memory=start.memory,
        )
        return execution, self._when_due(live, start.not_before, now, at_once)

    def _when_due(self, live: Live, not_before: float, now: float, at_once: bool) -> Effect | None:
        if at_once:
            return lambda: self._spawn_attempt(live, launch=True)
        if not_before > now:
            return lambda: self.spawn(self._wait_until(live, not_before), live.id)
        self._wait(live)
        return None

    async def _wait_until(self, live: Live, not_before: float) -> None:
        await self.deps.clock.sleep(max(0.0, not_before - self.deps.clock.now()))
        if self.current(live):
            self._wait(live)
            self.deps.released()

    def _wait(self, live: Live) -> None:
        """For a slot. A service takes none: what it waits for could then be waiting for its slot."""
        if live.node.service is not None:
            self.start(live)
            return
        options = live.node.options
        self.deps.dispatcher.wait(options.queue, options.priority, self.run.id, (self, live))

    def start(self, live: Live) -> None:
        """The dispatcher gave this waiting execution a slot; a service needs none."""
        live.slot = live.node.service is None
        if not self.current(live) or live.status is not ExecutionStatus.QUEUED:
            self._release(live)
            return
        now = self.deps.clock.now()
        live.status = lifecycle.step(live.status, "start")
        patch = live.patch(status=live.status, launched_at=now, place=self.deps.executor.place)
        self.pipeline.add(self._change(updated=(patch,)), [lambda: self._spawn_attempt(live, launch=True)])

    def _resume(self, execution: Execution) -> None:
        """An execution that an earlier owner left: waiting, launched perhaps, or running."""
        live = adopted(execution, self._nodes[execution.node])
        self._live[live.task] = live
        if execution.status is ExecutionStatus.QUEUED:
            self.spawn(self._wait_until(live, execution.not_before), live.id)
            return
        if live.node.service is None:
            self.deps.dispatcher.occupy(live.node.options.queue)
            live.slot = True
            if execution.status is not ExecutionStatus.STARTING:
                self.deps.gate.occupy()
                live.inside = True
        here = execution.place == self.deps.executor.place
        if not here:
            live.gone = f"it was running at {execution.place}, which is gone: that machine was restarted, or is another one"
        if live.started_at is not None and live.waiting:  # nobody knew whether it runs; if that is still so, we shall be told
            self.record((live.patch(**live.waits_no_more()),))
        self._spawn_attempt(live, launch=here and execution.status is ExecutionStatus.STARTING)
        if live.stop_requested and here:
            self.spawn(stopper.insist(self, live), live.id)

    # -- one attempt --------------------------------------------------------------------------------------------

    def _spawn_attempt(self, live: Live, launch: bool) -> None:
        if self.current(live):
            live.following = self.spawn(self._attempt(live, launch), live.id)

    async def _attempt(self, live: Live, launch: bool) -> None:
        try:
            if launch and live.node.service is None:
                await self.deps.gate.enter()
                live.inside = True
            if launch and (refused := await launcher.launch(self, live)):
                self.finish(live, refused)
                return
            live.launched.set()
            await listener.follow(self, live, resumed=not launch)
        except Exception as error:
            self.quarantine(error)

    # -- the end of an execution --------------------------------------------------------------------------------

    def finish(self, live: Live, finished: Finished, said: dict[str, Any] | None = None, logs: Logs = ()) -> None:
        verdict, now = ends.judged(self.state, live, finished), self.deps.clock.now()
        live.status = verdict.status
        live.hold(False, now)  # else whoever watches over its start would do so for ever
        del self._live[live.task]
        self._release(live)
        last = ends.last_row(live, verdict, finished, now)
        patch = live.patch(**(said or {}) | live.waits_no_more() | last)
        event = TaskEnded(live.task[0], live.task[1], live.attempt, verdict, verdict.output, verdict.outputs)
        self.decide(event, (patch,), logs, [lambda: stopper.reap(self, live)])

    # -- stopping -----------------------------------------------------------------------------------------------

    def _stopping(self, live: Live) -> ExecutionPatch:
        live.stop_requested = True
        live.status = lifecycle.step(live.status, "stop")
        return live.patch(status=live.status)

    def _stop_effects(self, stops: Iterable[Live]) -> list[Effect]:
        return [self._stop_effect(live) for live in stops if live.stop_requested]

    def _stop_effect(self, live: Live) -> Effect:
        return lambda: self.spawn(stopper.insist(self, live), f"stop {live.id}")

    # -- small things -------------------------------------------------------------------------------------------

    def record(self, updated: tuple[ExecutionPatch, ...] = (), logs: Logs = ()) -> None:
        self.pipeline.add(self._change(updated, logs))

    def ordinal(self, node: str) -> int:
        return self._ordinals[node]

    def _change(self, updated: tuple[ExecutionPatch, ...] = (), logs: Logs = ()) -> Change:
        return Change(run_id=self.run.id, epoch=self.run.epoch, updated=updated, logs=logs)

    def _release(self, live: Live) -> None:
        if live.inside:
            live.inside = False
            self.deps.gate.leave()
        if live.slot:
            live.slot = False
            self.deps.dispatcher.release(live.node.options.queue)
            self.deps.released()

    def current(self, live: Live) -> bool:
        return not self._ended and self._live.get(live.task) is live

    def _is_live(self, node: str, index: int, attempt: int) -> bool:
        live = self._live.get((node, index))
        return live is not None and live.attempt == attempt and not live.stop_requested

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> Spawned:
        return self.deps.spawner.spawn(coroutine, name)

"""All of the DAG logic: what an event means for a run. Reads the state, never changes it.

Begun       everything that ought to run and does not yet
TaskEnded   a task's end -> its retry, or the next item, or its node's end -> what that node held back
Cancelled   nothing new starts, what runs is stopped, the run ends when all is dead
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from klassd.workflows.model.run import NodeRow, RunPatch
from klassd.workflows.model.states import Cause, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.rules import backoff, conditions, inputs, lifecycle, retries
from klassd.workflows.rules.conditions import Caller, ConditionError
from klassd.workflows.rules.delta import Delta, Start, TaskId, TaskResult
from klassd.workflows.rules.ending import run_end
from klassd.workflows.rules.inputs import Absent, ResolveError
from klassd.workflows.rules.lifecycle import TASK_EVENTS, TaskStatus, Verdict
from klassd.workflows.rules.state import NodeState, RunState, earlier, gathered

__all__ = ["Begun", "Cancelled", "Delta", "Event", "Start", "TaskEnded", "TaskId", "TaskResult", "advance"]

EMPTY = Delta()
BAD = frozenset({NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED})


class Begun(msgspec.Struct, frozen=True):
    """The run has an owner: a new one, or another after a take-over. Attempts that exist are the owner's to resume."""


class TaskEnded(msgspec.Struct, frozen=True):
    """An attempt is over. One that is not the task's latest, or was heard before, changes nothing."""

    node: str
    index: int
    attempt: int
    verdict: Verdict
    output: Any = None
    outputs: dict[str, Any] = {}


class Cancelled(msgspec.Struct, frozen=True):
    """Somebody asked to cancel the run."""


Event = Begun | TaskEnded | Cancelled


def advance(state: RunState, event: Event, now: float, call: Caller | None = None) -> Delta:
    """What ``event`` changes. ``now``: seconds since the epoch; ``call`` runs a condition's function by its name."""
    if state.status.final:
        return EMPTY
    decision = _Decision(state, now, call)
    match event:
        case TaskEnded():
            decision.task_ended(event)
        case Cancelled():
            decision.cancel()
        case Begun():
            decision.begin()
    return decision.delta()


class _Decision:
    """An overlay over the state: what it will be once the delta is applied (``inputs.View``)."""

    def __init__(self, state: RunState, now: float, call: Caller | None) -> None:
        self._state, self._now, self._call = state, now, call
        self._status = state.status
        self._statuses: dict[str, NodeStatus] = {}
        self._unmet: dict[str, int] = {}
        self._unfinished = state.unfinished
        self._ready: deque[NodeState] = deque()  # pending, and all its needs are final: a queue, since chains are long
        self._rows: list[NodeRow] = []
        self._started: list[Start] = []
        self._stop: list[TaskId] = []
        self._ended: TaskResult | None = None
        self._gathered: dict[str, list[Any]] = {}

    def delta(self) -> Delta:
        return Delta(
            run=self._run_patch(),
            nodes=tuple(self._rows),
            started=tuple(self._started),
            stop=tuple(self._stop),
            ended=self._ended,
        )

    def _run_patch(self) -> RunPatch | None:
        if self._unfinished == 0:
            return run_end(self, self._state.definition, self._errors(), self._status, self._now)
        return RunPatch(status=self._status) if self._status is not self._state.status else None

    def _errors(self) -> dict[str, str | None]:
        errors = {name: node.error for name, node in self._state.nodes.items()}
        return errors | {row.name: row.error for row in self._rows}

    # -- events -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Also where a cancellation was asked for while nobody owned the run: then nothing new starts."""
        if self._state.cancel_requested or self._status is RunStatus.CANCELLING:
            self.cancel(again=True)
            return
        for node in self._state.nodes.values():
            if node.status is NodeStatus.RUNNING:
                self._retry_owed(node)
                self._go_on(node, _tally(node))
            elif node.status is NodeStatus.PENDING and node.unmet == 0:
                self._ready.append(node)
        self._settle()

    def task_ended(self, event: TaskEnded) -> None:
        node = self._state.nodes.get(event.node)
        task = node.tasks.get(event.index) if node else None
        if node is None or task is None or task.attempt != event.attempt or task.status is not TaskStatus.RUNNING:
            return
        self._ended = self._result(node, event)
        if self._ended.event == "retry":
            memory = retries.asks(node.node.options.retry, self._ended.cause, self._ended.memory)
            self._retry(node, event.index, event.attempt, memory)
        else:
            self._go_on(node, _tally(node, self._ended))
        self._settle()

    def cancel(self, again: bool = False) -> None:
        """Pending nodes end at once, running ones when what runs of them is dead."""
        if self._status is RunStatus.CANCELLING and not again:
            return
        if self._status is not RunStatus.CANCELLING:
            self._status = lifecycle.step_run(self._status, "cancel")
        for node in self._state.nodes.values():
            if node.status is NodeStatus.PENDING:
                self._end(node, "cancel")
            elif node.status is NodeStatus.RUNNING:
                self._stop.extend(_running(node))
                self._go_on(node, _tally(node))

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _result(self, node: NodeState, ended: TaskEnded) -> TaskResult:
        verdict = ended.verdict
        event = TASK_EVENTS[verdict.status]
        memory = verdict.memory or node.tasks[ended.index].memory
        if event == "failed" and verdict.retry and self._may_retry(node, ended.index, verdict.cause, memory):
            event = "retry"
        error = None if event == "succeeded" else verdict.message or str(verdict.cause or verdict.status)
        return TaskResult(
            ended.node, ended.index, ended.attempt, event, ended.output, ended.outputs, error, verdict.cause, memory
        )

    def _may_retry(self, node: NodeState, index: int, cause: Cause | None, memory: str | None) -> bool:
        failures = retries.with_failure(node.tasks[index].failures, cause)
        return self._status is RunStatus.RUNNING and retries.may_retry(node.node.options.retry, failures, cause, memory)

    def _retry_owed(self, node: NodeState) -> None:
        if node.waiting:
            for index, task in node.tasks.items():
                if task.status is TaskStatus.WAITING:
                    self._retry(node, index, task.attempt, task.memory)

    def _retry(self, node: NodeState, index: int, attempt: int, memory: str | None) -> None:
        seed = f"{self._state.id}-{node.ordinal}-{index}-{attempt}"
        wait = backoff.delay(node.node.options.retry, attempt, seed)
        self._started.append(Start(node.node.name, index, attempt + 1, self._now + wait, memory))

    def _go_on(self, node: NodeState, tally: _Tally) -> None:
        """Fill the places that are free, or end the node where nothing is left to wait for."""
        under_way = tally.running
        if self._status is RunStatus.RUNNING:
            under_way += tally.waiting
            under_way += self._start_items(node, node.cap - under_way)
        if under_way == 0:
            self._close(node, tally)

    def _start_items(self, node: NodeState, places: int) -> int:
        end = min(node.count, node.next + max(0, places))
        self._started.extend(Start(node.node.name, index, 1, 0.0) for index in range(node.next, end))
        return end - node.next

    def _close(self, node: NodeState, tally: _Tally) -> None:
        if tally.succeeded == node.count:
            self._end(node, "succeeded")
        elif tally.succeeded + tally.failed < node.count:
            self._end(node, "cancel")
        else:
            self._end(node, "failed", self._task_error(node, tally.failed))

    def _task_error(self, node: NodeState, failed: int) -> str:
        first = node.first_error
        if self._ended is not None and self._ended.node == node.node.name and self._ended.event == "failed":
            first = earlier(first, self._ended)
        index, error = first or (0, "failed")
        return f"{failed:,} of {node.count:,} items failed; item {index}: {error}" if node.node.mapped else error

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        while self._ready:
            self._decide(self._ready.popleft())

    def _decide(self, node: NodeState) -> None:
        """A pending node whose needs are all final: start it, or end it unstarted, saying why."""
        if obstacle := self._obstacle(node.node):
            self._end(node, "need_failed", inputs.came_to(obstacle, self))
            return
        try:
            if not self._wanted(node.node):
                assert node.node.when is not None
                self._end(node, "omit", f"{conditions.describe(node.node.when)} was false")
                return
            if lacking := self._lacking(node.node):
                raise Absent(lacking)
            self._begin_node(node)
        except Absent as absent:
            event = "omit" if self.node_status(absent.node) is NodeStatus.OMITTED else "need_failed"
            self._end(node, event, inputs.came_to(absent.node, self))
        except (ConditionError, ResolveError) as error:
            self._end(node, "failed", str(error))

    def _obstacle(self, node: Node) -> str | None:
        """A need that came to a bad end which the node's condition does not speak of."""
        bad = [need for need in node.needs if self.node_status(need) in BAD]
        if not bad or node.when is None:
            return bad[0] if bad else None
        spoken = conditions.outcomes(node.when)
        return next((need for need in bad if need not in spoken), None)

    def _wanted(self, node: Node) -> bool:
        if node.when is None:
            return True
        try:
            return conditions.holds(node.when, self, self._call)
        except ResolveError as error:
            raise ConditionError(f"its condition has no answer: {error}") from None

    def _lacking(self, node: Node) -> str | None:
        """A node without output that feeds an input which does not accept null; rather one that came to a bad end."""
        absent = inputs.absent_inputs(self, node)
        return next((name for name in absent if self.node_status(name) in BAD), absent[0] if absent else None)

    def _begin_node(self, node: NodeState) -> None:
        name = node.node.name
        if not node.node.mapped:
            self._statuses[name] = lifecycle.step_node(NodeStatus.PENDING, "start")
            self._started.append(Start(name, 0, 1, 0.0))
        elif items := inputs.items_of(self, node.node):
            self._expand(node, items)
        else:
            self._nothing_to_do(node)

    def _expand(self, node: NodeState, items: list[Any]) -> None:
        name = node.node.name
        self._statuses[name] = lifecycle.step_node(NodeStatus.PENDING, "start")
        self._rows.append(NodeRow(name=name, status=NodeStatus.RUNNING, items=items))
        first = min(len(items), node.node.max_parallel or len(items))
        self._started.extend(Start(name, index, 1, 0.0) for index in range(first))

    def _nothing_to_do(self, node: NodeState) -> None:
        match node.node.on_empty:
            case "omit":
                self._end(node, "omit", f"0 items in {inputs.show(node.node.over)}", items=[])
            case "succeed":
                self._end(node, "empty", items=[])
            case "fail":
                self._end(node, "failed", f"nothing to fan out over: 0 items in {inputs.show(node.node.over)}", items=[])

    def _end(self, node: NodeState, event: str, error: str | None = None, items: list[Any] | None = None) -> None:
        name = node.node.name
        status = lifecycle.step_node(self.node_status(name), event)
        self._statuses[name] = status
        self._rows.append(NodeRow(name=name, status=status, items=items, error=error, finished_at=self._now))
        self._unfinished -= 1
        for dependent in node.dependents:
            self._one_need_less(dependent)

    def _one_need_less(self, node: NodeState) -> None:
        name = node.node.name
        unmet = self._unmet[name] = self._unmet.get(name, node.unmet) - 1
        if unmet == 0 and self.node_status(name) is NodeStatus.PENDING:
            self._ready.append(node)

    # -- what references and conditions may look at (inputs.View) ------------------------------------------------------

    @property
    def params(self) -> Mapping[str, Any]:
        return self._state.params

    def node_status(self, name: str) -> NodeStatus:
        return self._statuses.get(name) or self._state.nodes[name].status

    def mapped(self, name: str) -> bool:
        return self._state.mapped(name)

    def output(self, name: str) -> Any:
        if self._ended is None or self._ended.node != name:
            return self._state.output(name)
        return self._with_ended(name, "") if self.mapped(name) else self._ended.output

    def named(self, name: str, key: str) -> Any:
        if self._ended is None or self._ended.node != name:
            return self._state.named(name, key)
        return self._with_ended(name, key) if self.mapped(name) else self._ended.outputs[key]

    def _with_ended(self, name: str, key: str) -> list[Any]:
        """The outputs of a fan-out whose last task ends with this very event."""
        if key not in self._gathered:
            self._gathered[key] = gathered(self._state.nodes[name], key, self._ended)
        return self._gathered[key]


class _Tally(NamedTuple):
    """Tasks of a node by state, the end of one of them counted in."""

    running: int
    waiting: int
    succeeded: int
    failed: int


def _tally(node: NodeState, ended: TaskResult | None = None) -> _Tally:
    if ended is None:
        return _Tally(node.running, node.waiting, node.succeeded, node.failed)
    return _Tally(
        node.running - 1,
        node.waiting,
        node.succeeded + (ended.event == "succeeded"),
        node.failed + (ended.event == "failed"),
    )


def _running(node: NodeState) -> Iterator[TaskId]:
    for index, task in node.tasks.items():
        if task.status is TaskStatus.RUNNING:
            yield node.node.name, index, task.attempt

"""A run in memory: what its owner decides on.

Built from the store's rows once, then changed only by applying deltas. Counters and pointers stand beside the facts, so that an
event costs what it changes, never the size of a fan-out or of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from klassd.workflows.model.run import Execution, LoadedRun, NodeRow
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node
from klassd.workflows.rules import lifecycle, retries
from klassd.workflows.rules.delta import Delta, TaskResult
from klassd.workflows.rules.lifecycle import BY_RECORD, PERMANENT, TASK_EVENTS, TaskStatus
from klassd.workflows.rules.retries import Failures


class TaskState:
    """One item of a node, once its first attempt was decided."""

    __slots__ = ("attempt", "error", "failures", "memory", "not_before", "output", "outputs", "status")

    def __init__(self, attempt: int, not_before: float, failures: Failures = retries.NONE, memory: str | None = None) -> None:
        self.status = TaskStatus.RUNNING
        self.attempt = attempt  # the latest
        self.not_before = not_before  # of the latest attempt
        self.output: Any = None
        self.outputs: dict[str, Any] = {}
        self.error: str | None = None
        self.failures = failures  # of all its attempts
        self.memory = memory  # that the latest attempt asks for; between two attempts, the next one


class NodeState:
    __slots__ = (
        "cancelled", "count", "dependents", "error", "failed", "first_error", "gathered", "items", "next", "node", "ordinal",
        "running", "status", "succeeded", "tasks", "unmet", "waiting",
    )  # fmt: skip

    def __init__(self, node: Node, ordinal: int) -> None:
        self.node = node
        self.ordinal = ordinal  # its place in the definition, for execution ids
        self.status = NodeStatus.PENDING
        self.error: str | None = None
        self.dependents: list[NodeState] = []
        self.unmet = 0  # needs that are not final
        self.items: list[Any] | None = None  # of a fan-out, once it is expanded
        self.count = 1  # tasks
        self.tasks: dict[int, TaskState] = {}
        self.next = 0  # the first index that was never started: items start in order
        self.running = self.waiting = self.succeeded = self.failed = self.cancelled = 0  # tasks in that state
        self.first_error: tuple[int, str] | None = None  # index and error of the first task that failed for good
        self.gathered: dict[str, list[Any]] = {}  # outputs of a mapped node, put in order once it succeeded

    @property
    def cap(self) -> int:
        """How many of its tasks may be under way at once. One that waits for its retry keeps its place."""
        return self.node.max_parallel or self.count


class RunState:
    """Everything the rules know of one run. ``nodes`` is in the definition's order."""

    __slots__ = ("cancel_requested", "definition", "id", "nodes", "params", "status", "unfinished")

    def __init__(self, run_id: str, definition: Definition, params: Mapping[str, Any]) -> None:
        self.id = run_id
        self.definition = definition
        self.params = _defaults(definition) | dict(params)
        self.status = RunStatus.RUNNING
        self.cancel_requested = False
        self.nodes = {node.name: NodeState(node, ordinal) for ordinal, node in enumerate(definition.nodes)}
        self.unfinished = len(self.nodes)
        for state in self.nodes.values():
            needs = set(state.node.needs)
            state.unmet = len(needs)
            for need in needs:
                self.nodes[need].dependents.append(state)

    @staticmethod
    def load(definition: Definition, loaded: LoadedRun) -> RunState:
        """From the store's rows, which are sparse: a node without one is pending or, where it has executions, running."""
        state = RunState(loaded.run.id, definition, loaded.run.params)
        if loaded.run.status is not RunStatus.QUEUED:
            state.status = loaded.run.status
        state.cancel_requested = loaded.run.cancel_requested_at is not None
        for row in loaded.nodes:
            state._set_node(row)
        failed = _earlier_failures(loaded.executions)
        for execution in _latest(loaded.executions):
            state._load_task(execution, failed.get((execution.node, execution.index), retries.NONE))
        return state

    def apply(self, delta: Delta) -> None:
        """The only way it changes."""
        if delta.ended is not None:
            self._end_task(delta.ended)
        for row in delta.nodes:
            self._set_node(row)
        for start in delta.started:
            self._start_task(self.nodes[start.node], start.index, start.attempt, start.not_before, start.memory)
        if delta.run is not None and delta.run.status is not None:
            self.status = delta.run.status

    # -- what references and conditions may look at (inputs.View) ------------------------------------------------------

    def node_status(self, name: str) -> NodeStatus:
        return self.nodes[name].status

    def mapped(self, name: str) -> bool:
        return self.nodes[name].node.mapped

    def output(self, name: str) -> Any:
        node = self.nodes[name]
        return self._gathered(node, "") if node.node.mapped else node.tasks[0].output

    def named(self, name: str, key: str) -> Any:
        node = self.nodes[name]
        return self._gathered(node, key) if node.node.mapped else node.tasks[0].outputs[key]

    def _gathered(self, node: NodeState, key: str) -> list[Any]:
        """Put in order once: each of 10,000 tasks may be fed the same list."""
        if key not in node.gathered:
            node.gathered[key] = gathered(node, key)
        return node.gathered[key]

    # -- changes ------------------------------------------------------------------------------------------------------

    def _set_node(self, row: NodeRow) -> None:
        node = self.nodes[row.name]
        node.status, node.error = row.status, row.error
        if row.items is not None:
            node.items, node.count = row.items, len(row.items)
        if row.status.final:
            self.unfinished -= 1
            for dependent in node.dependents:
                dependent.unmet -= 1

    def _start_task(self, node: NodeState, index: int, attempt: int, not_before: float, memory: str | None) -> None:
        if node.status is NodeStatus.PENDING:
            node.status = NodeStatus.RUNNING
        before = node.tasks.get(index)
        if before:
            node.waiting -= 1
        node.running += 1
        node.next = max(node.next, index + 1)
        node.tasks[index] = TaskState(attempt, not_before, before.failures if before else retries.NONE, memory)

    def _end_task(self, result: TaskResult) -> None:
        node = self.nodes[result.node]
        task = node.tasks[result.index]
        task.status = lifecycle.step_task(task.status, result.event)
        task.error = result.error
        if result.event in ("failed", "retry"):
            task.failures = retries.with_failure(task.failures, result.cause)
            task.memory = retries.asks(node.node.options.retry, result.cause, result.memory)
        node.running -= 1
        match task.status:
            case TaskStatus.SUCCEEDED:
                node.succeeded += 1
                task.output, task.outputs = result.output, result.outputs
            case TaskStatus.FAILED:
                node.failed += 1
                node.first_error = earlier(node.first_error, result)
            case TaskStatus.CANCELLED:
                node.cancelled += 1
            case _:
                node.waiting += 1

    def _load_task(self, execution: Execution, failures: Failures) -> None:
        node = self.nodes[execution.node]
        self._start_task(node, execution.index, execution.attempt, execution.not_before, execution.memory)
        node.tasks[execution.index].failures = failures
        if execution.status.final:
            self._end_task(self._loaded_result(node, execution))

    def _loaded_result(self, node: NodeState, execution: Execution) -> TaskResult:
        event = TASK_EVENTS[execution.status]
        if event == "failed" and self._owes_retry(node, execution):
            event = "retry"
        return TaskResult(
            execution.node,
            execution.index,
            execution.attempt,
            event,
            execution.output,
            execution.outputs,
            execution.error,
            execution.cause,
            execution.memory,
        )

    def _owes_retry(self, node: NodeState, execution: Execution) -> bool:
        """Whether its next attempt is missing. An end and the retry it leads to are committed together, so a failure that only
        the worker's record could call permanent, and that nothing followed, was called so."""
        failures = retries.with_failure(node.tasks[execution.index].failures, execution.cause)
        return (
            self.status is RunStatus.RUNNING
            and execution.cause not in PERMANENT | BY_RECORD
            and retries.may_retry(node.node.options.retry, failures, execution.cause, execution.memory)
        )


def gathered(node: NodeState, key: str, ended: TaskResult | None = None) -> list[Any]:
    """Outputs of a mapped node that succeeded, in item order; ``key`` "": the return values. ``ended`` stands for its task."""
    of = {index: (task.output, task.outputs) for index, task in node.tasks.items()}
    if ended is not None:
        of[ended.index] = (ended.output, ended.outputs)
    return [of[index][1][key] if key else of[index][0] for index in range(len(of))]


def earlier(known: tuple[int, str] | None, result: TaskResult) -> tuple[int, str]:
    """The error of the lowest index: the same whatever the order the tasks ended in."""
    if known is not None and known[0] < result.index:
        return known
    return result.index, result.error or "failed"


def _latest(executions: Iterable[Execution]) -> Iterable[Execution]:
    latest: dict[tuple[str, int], Execution] = {}
    for execution in executions:
        task = (execution.node, execution.index)
        if task not in latest or latest[task].attempt < execution.attempt:
            latest[task] = execution
    return latest.values()


def _earlier_failures(executions: Iterable[Execution]) -> dict[tuple[str, int], Failures]:
    """By task: its failed attempts before the latest."""
    latest = {(each.node, each.index): each.attempt for each in _latest(executions)}
    failures: dict[tuple[str, int], Failures] = {}
    for execution in executions:
        task = (execution.node, execution.index)
        if execution.status is ExecutionStatus.FAILED and execution.attempt < latest[task]:
            failures[task] = retries.with_failure(failures.get(task, retries.NONE), execution.cause)
    return failures


def _defaults(definition: Definition) -> dict[str, Any]:
    return {name: schema["default"] for name, schema in definition.params.items() if "default" in schema}

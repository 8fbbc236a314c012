"""A run driven as the engine drives it: decisions applied in memory, their rows kept as a store would keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from klassd.workflows.model.run import Execution, LoadedRun, NodeRow, Run, execution_id
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node
from klassd.workflows.options import Options, RetryPolicy
from klassd.workflows.rules.advance import Begun, Delta, Event, Start, TaskEnded, advance
from klassd.workflows.rules.conditions import Caller
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.rules.state import NodeState, RunState

SUCCESS = Verdict(status=ExecutionStatus.SUCCEEDED)
FAILURE = Verdict(status=ExecutionStatus.FAILED, cause=Cause.EXCEPTION, message="ValueError: boom", retry=True)
FOR_GOOD = Verdict(status=ExecutionStatus.FAILED, cause=Cause.EXCEPTION, message="PermanentError: no", retry=False)
EVICTED = Verdict(
    status=ExecutionStatus.FAILED,
    cause=Cause.EVICTED,
    message="evicted: the node was low on memory",
    retry=True,
    infrastructure=True,
)
STOPPED = Verdict(status=ExecutionStatus.STOPPED, cause=Cause.STOPPED, message="stopped on request")

BAD = (NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED)


def node(name: str, *needs: str, retries: int = 0, machine: int = 0, **fields: Any) -> Node:
    options = Options(retry=RetryPolicy(times=retries, infrastructure=machine, first=10.0, jitter=0.1))
    return Node(name, "Job", "jobs:Job", needs=tuple(needs), options=options, **fields)


def ref(name: str, *path: str | int, output: str | None = None) -> dict[str, Any]:
    return {"$ref": name, "path": list(path)} | ({} if output is None else {"output": output})


def workflow(*nodes: Node, returns: Any = None, params: dict[str, Any] | None = None) -> Definition:
    return Definition("flow", nodes, returns=returns, params=params or {})


def fresh(definition: Definition, params: dict[str, Any] | None = None, **fields: Any) -> RunState:
    run = Run(id="run", name="flow", kind="workflow", definition="", params=params or {}, **fields)
    return RunState.load(definition, LoadedRun(run=run, definition=b""))


def essence(state: RunState) -> Any:
    """All of the state that decides anything, so that two states with the same essence decide the same."""
    return (state.status, state.unfinished, state.params, [_of_node(each) for each in state.nodes.values()])


def _of_node(each: NodeState) -> Any:
    tasks = {
        index: (task.status, task.attempt, task.not_before, task.output, task.outputs, task.error, task.failures, task.memory)
        for index, task in sorted(each.tasks.items())
    }
    counters = (each.unmet, each.count, each.next, each.running, each.waiting, each.succeeded, each.failed, each.cancelled)
    return (each.node.name, each.status, each.items, each.error, counters, each.first_error, tasks)


class Rows:
    """What a store holds of one run."""

    def __init__(self, definition: Definition, params: dict[str, Any] | None = None) -> None:
        self.run = Run(id="run", name="flow", kind="workflow", definition="", params=params or {}, status=RunStatus.RUNNING)
        self.nodes: dict[str, NodeRow] = {}
        self.executions: dict[str, Execution] = {}
        self._ordinals = {each.name: ordinal for ordinal, each in enumerate(definition.nodes)}

    def loaded(self) -> LoadedRun:
        return LoadedRun(
            run=self.run, definition=b"", nodes=tuple(self.nodes.values()), executions=tuple(self.executions.values())
        )

    def commit(self, event: Event, delta: Delta) -> None:
        if isinstance(event, TaskEnded):
            self._end(event)
        for row in delta.nodes:
            before = self.nodes.get(row.name)
            assert before is None or not before.status.final, f"{row.name} left a final state"
            kept = before.items if before and row.items is None else row.items
            self.nodes[row.name] = msgspec.structs.replace(row, items=kept)
        for start in delta.started:
            self._start(start)
        if delta.run is not None:
            assert not self.run.status.final, "the run left a final state"
            said = {name: getattr(delta.run, name) for name in ("status", "finished_at", "output", "error")}
            self.run = msgspec.structs.replace(self.run, **{name: value for name, value in said.items() if value is not None})

    def _id(self, name: str, index: int, attempt: int) -> str:
        return execution_id(self.run.id, self._ordinals[name], index, attempt)

    def _end(self, event: TaskEnded) -> None:
        if event.node not in self._ordinals:
            return
        id_ = self._id(event.node, event.index, event.attempt)
        before = self.executions.get(id_)
        if before is None or before.status.final:
            return
        self.executions[id_] = msgspec.structs.replace(
            before,
            status=event.verdict.status,
            cause=event.verdict.cause,
            error=event.verdict.message,
            output=event.output,
            outputs=event.outputs,
            memory=event.verdict.memory or before.memory,
        )

    def _start(self, start: Start) -> None:
        id_ = self._id(start.node, start.index, start.attempt)
        assert id_ not in self.executions, f"{id_} started twice"
        self.executions[id_] = Execution(
            id=id_,
            run_id="run",
            node=start.node,
            index=start.index,
            attempt=start.attempt,
            not_before=start.not_before,
            memory=start.memory,
        )


Script = Callable[[str, int, int], tuple[Verdict, Any]]  # (node, index, attempt) -> what that attempt comes to
Named = Callable[[str, int], dict[str, Any]]  # (node, index) -> what it gives to ctx.set_output


class World:
    """One run with the seven properties checked at every event."""

    def __init__(
        self,
        definition: Definition,
        script: Script,
        params: dict[str, Any] | None = None,
        named: Named = lambda node, index: {},
        call: Caller | None = None,
    ) -> None:
        self.definition, self.script, self.named, self.call = definition, script, named, call
        self.specs = {each.name: each for each in definition.nodes}
        self.rows = Rows(definition, params)
        self.state = RunState.load(definition, self.rows.loaded())
        self.live: list[tuple[str, int, int]] = []
        self.stopping: set[tuple[str, int, int]] = set()
        self.now = 1000.0
        self.cancelled = False
        self.decisions: list[Delta] = []

    def send(self, event: Event) -> Delta:
        self.now += 1.0
        before = essence(self.state)
        delta = advance(self.state, event, self.now, self.call)
        assert advance(self.state, event, self.now, self.call) == delta, "not deterministic"
        assert essence(self.state) == before, "advance changed the state"
        self._check_starts(delta)
        self.state.apply(delta)
        self.rows.commit(event, delta)
        self.live += [(start.node, start.index, start.attempt) for start in delta.started]
        self.stopping |= set(delta.stop)
        self.decisions.append(delta)
        self._check()
        return delta

    def end(self, place: int = 0) -> Delta:
        """The attempt at that place among the live ones ends as the script says, or stopped where that was asked."""
        task = self.live.pop(place)
        verdict, output = self.script(*task)
        if task in self.stopping and verdict.status is not ExecutionStatus.SUCCEEDED:
            verdict, output = STOPPED, None
        outputs = self.named(*task[:2]) if verdict is SUCCESS else {}
        return self.send(TaskEnded(*task, verdict, output, outputs))

    def crash(self) -> None:
        """Another owner loads the run: it must know exactly what the one before knew."""
        known = essence(self.state)
        self.state = RunState.load(self.definition, self.rows.loaded())
        assert essence(self.state) == known
        assert not self.send(Begun()).started, "a take-over with nothing amiss starts nothing"

    def _check_starts(self, delta: Delta) -> None:
        ended = {row.name for row in delta.nodes if row.status.final}
        for start in delta.started:
            assert not self.cancelled, f"{start} though the run is being cancelled"
            for need in self.specs[start.node].needs:
                assert self.state.nodes[need].status.final or need in ended, f"{start} before {need}"

    def _check(self) -> None:
        assert len(set(self.live)) == len(self.live)
        assert len({task[:2] for task in self.live}) == len(self.live), "two attempts of a task at once"
        for spec in self.definition.nodes:
            under_way = sum(task[0] == spec.name for task in self.live)
            assert spec.max_parallel is None or under_way <= spec.max_parallel
            assert under_way == self.state.nodes[spec.name].running
        if self.state.status.final:
            assert not self.live, "something runs though the run is over"
            assert all(each.status.final for each in self.state.nodes.values())
        else:
            assert self.live or not self.decisions, "nothing runs and the run is not over"

    @property
    def statuses(self) -> dict[str, NodeStatus]:
        return {name: each.status for name, each in self.state.nodes.items()}


def run_to_the_end(definition: Definition, script: Script, params: dict[str, Any] | None = None) -> World:
    world = World(definition, script, params)
    world.send(Begun())
    while world.live:
        world.end()
    return world

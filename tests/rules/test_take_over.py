"""What a new owner decides from the rows of the one before."""

from __future__ import annotations

from typing import Any

import pytest
from rules_world import STOPPED, SUCCESS, node, ref, workflow

from klassd.workflows.model.run import Execution, LoadedRun, NodeRow, Run
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.rules.advance import Begun, Cancelled, Delta, TaskEnded, advance
from klassd.workflows.rules.state import RunState

QUEUED, RUNNING = ExecutionStatus.QUEUED, ExecutionStatus.RUNNING
SUCCEEDED, FAILED = ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED


def execution(name: str, index: int = 0, attempt: int = 1, **fields: Any) -> Execution:
    return Execution(id=f"{name}-{index}-{attempt}", run_id="run", node=name, index=index, attempt=attempt, **fields)


def load(
    definition: Definition,
    *executions: Execution,
    nodes: tuple[NodeRow, ...] = (),
    status: RunStatus = RunStatus.RUNNING,
    **run: Any,
) -> RunState:
    row = Run(id="run", name="flow", kind="workflow", definition="", status=status, **run)
    return RunState.load(definition, LoadedRun(run=row, definition=b"", nodes=nodes, executions=executions))


def begin(state: RunState) -> Delta:
    delta = advance(state, Begun(), 100.0)
    state.apply(delta)
    return delta


def started(delta: Delta) -> list[tuple[str, int, int]]:
    return [(start.node, start.index, start.attempt) for start in delta.started]


def test_a_run_that_never_began_begins() -> None:
    assert started(begin(load(workflow(node("a"), node("b"), node("c", "a")), status=RunStatus.QUEUED))) == [
        ("a", 0, 1),
        ("b", 0, 1),
    ]


@pytest.mark.parametrize("status", [QUEUED, ExecutionStatus.STARTING, RUNNING, ExecutionStatus.STOPPING])
@pytest.mark.fault("B7")
def test_an_attempt_that_exists_is_not_started_again(status: ExecutionStatus) -> None:
    state = load(workflow(node("a")), execution("a", status=status))
    assert state.nodes["a"].status is NodeStatus.RUNNING
    assert begin(state).empty


@pytest.mark.fault("A8")
def test_an_end_that_was_stored_without_what_follows_is_followed_up() -> None:
    definition = workflow(node("a"), node("b", "a", inputs={"x": ref("a")}))
    state = load(definition, execution("a", status=SUCCEEDED, output=7))
    delta = begin(state)
    assert [(row.name, row.status) for row in delta.nodes] == [("a", NodeStatus.SUCCEEDED)]
    assert started(delta) == [("b", 0, 1)]


def test_an_end_that_was_stored_of_the_last_node_ends_the_run() -> None:
    state = load(workflow(node("a"), returns=ref("a")), execution("a", status=SUCCEEDED, output=7))
    delta = begin(state)
    assert delta.run is not None and (delta.run.status, delta.run.output) == (RunStatus.SUCCEEDED, 7)


@pytest.mark.fault("A10")
def test_a_fan_out_goes_on_at_its_next_item_up_to_its_cap() -> None:
    definition = workflow(node("each", over=list(range(6)), max_parallel=3))
    rows = (NodeRow(name="each", status=NodeStatus.RUNNING, items=list(range(6))),)
    ended = [
        execution("each", 0, status=SUCCEEDED),
        execution("each", 1, status=RUNNING),
        execution("each", 2, status=SUCCEEDED),
    ]
    assert started(begin(load(definition, *ended, nodes=rows))) == [("each", 3, 1), ("each", 4, 1)]


def test_a_missing_retry_is_started_after_its_back_off_and_counts_for_the_cap() -> None:
    definition = workflow(node("each", over=[1, 2, 3], max_parallel=2, machine=2))
    rows = (NodeRow(name="each", status=NodeStatus.RUNNING, items=[1, 2, 3]),)
    dead = execution("each", 0, status=FAILED, cause=Cause.LOST, error="gone")
    delta = begin(load(definition, dead, execution("each", 1, status=RUNNING), nodes=rows))
    assert started(delta) == [("each", 0, 2)]
    assert 109.0 <= delta.started[0].not_before <= 111.0


def test_a_missing_retry_keeps_its_node_open_while_the_other_items_end() -> None:
    definition = workflow(node("each", over=[1, 2], machine=1))
    rows = (NodeRow(name="each", status=NodeStatus.RUNNING, items=[1, 2]),)
    dead = execution("each", 0, status=FAILED, cause=Cause.OOM)
    state = load(definition, dead, execution("each", 1, status=RUNNING), nodes=rows)
    state.apply(advance(state, TaskEnded("each", 1, 1, SUCCESS), 1.0))  # heard before the new owner began
    assert state.nodes["each"].status is NodeStatus.RUNNING
    assert started(begin(state)) == [("each", 0, 2)]


@pytest.mark.parametrize(
    ("cause", "attempt"),
    [(Cause.INPUT, 1), (Cause.LAUNCH, 1), (Cause.LOST, 3), (Cause.EXCEPTION, 1)],
    ids=["input", "launch", "no attempts left", "raised, and nothing followed: it was for good"],
)
def test_a_failure_that_was_final_is_not_retried(cause: Cause, attempt: int) -> None:
    state = load(workflow(node("a", retries=2)), execution("a", attempt=attempt, status=FAILED, cause=cause, error="no"))
    delta = begin(state)
    assert not delta.started
    assert delta.run is not None and (delta.run.status, delta.run.error) == (RunStatus.FAILED, "a failed: no")


def test_only_the_latest_attempt_of_a_task_counts() -> None:
    attempts = [execution("a", attempt=2, status=RUNNING), execution("a", attempt=1, status=FAILED, cause=Cause.EXCEPTION)]
    state = load(workflow(node("a", retries=1)), *attempts)
    assert begin(state).empty
    assert state.nodes["a"].tasks[0].attempt == 2


def test_an_end_heard_before_the_new_owner_began_is_not_decided_twice() -> None:
    state = load(workflow(node("a"), node("b", "a")), execution("a", status=RUNNING))
    delta = advance(state, TaskEnded("a", 0, 1, SUCCESS), 1.0)
    state.apply(delta)
    assert started(delta) == [("b", 0, 1)]
    assert begin(state).empty


@pytest.mark.fault("A11")
def test_a_cancellation_asked_for_while_nobody_owned_the_run_lets_nothing_new_start() -> None:
    definition = workflow(node("a"), node("b", "a"), node("c", machine=3))
    dead = execution("c", status=FAILED, cause=Cause.LOST)
    state = load(definition, execution("a", status=RUNNING), dead, cancel_requested_at=50.0)
    delta = begin(state)
    assert not delta.started
    assert delta.stop == (("a", 0, 1),)
    assert {row.name: row.status for row in delta.nodes} == {"b": NodeStatus.CANCELLED, "c": NodeStatus.CANCELLED}
    assert delta.run is not None and delta.run.status is RunStatus.CANCELLING
    assert advance(state, Cancelled(), 1.0).empty
    state.apply(advance(state, TaskEnded("a", 0, 1, STOPPED), 1.0))
    assert state.status is RunStatus.CANCELLED


@pytest.mark.fault("A11")
def test_a_cancellation_under_way_is_asked_for_again() -> None:
    rows = (NodeRow(name="b", status=NodeStatus.CANCELLED),)
    state = load(workflow(node("a"), node("b", "a")), execution("a", status=RUNNING), nodes=rows, status=RunStatus.CANCELLING)
    delta = begin(state)
    assert (delta.stop, delta.started, delta.nodes, delta.run) == ((("a", 0, 1),), (), (), None)


def test_a_failure_that_came_while_cancelling_owes_no_retry() -> None:
    dead = execution("a", status=FAILED, cause=Cause.LOST, error="gone")
    delta = begin(load(workflow(node("a", retries=3)), dead, status=RunStatus.CANCELLING))
    assert [row.status for row in delta.nodes] == [NodeStatus.FAILED]
    assert delta.run is not None and delta.run.status is RunStatus.CANCELLED


def test_a_cancelled_run_with_nothing_alive_ends_at_once() -> None:
    state = load(workflow(node("a"), node("b")), cancel_requested_at=50.0)
    delta = begin(state)
    assert delta.run is not None and delta.run.status is RunStatus.CANCELLED


def test_a_final_run_decides_nothing() -> None:
    state = load(workflow(node("a")), status=RunStatus.FAILED)
    assert begin(state).empty and advance(state, Cancelled(), 1.0).empty

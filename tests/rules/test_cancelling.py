"""Cancelling: at once for what waits, after its death for what runs, and too late where all had succeeded."""

from __future__ import annotations

from typing import Any

import pytest
from rules_world import FAILURE, FOR_GOOD, SUCCESS, World, fresh, node, workflow

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.rules.advance import Begun, Cancelled, TaskEnded, advance


def begun(*nodes: Any, fate: Any = (SUCCESS, 1)) -> World:
    world = World(workflow(*nodes), lambda *_: fate)
    world.send(Begun())
    return world


def test_pending_nodes_are_cancelled_at_once_and_running_ones_are_stopped() -> None:
    world = begun(node("a"), node("b", "a"))
    delta = world.send(Cancelled())
    assert delta.stop == (("a", 0, 1),)
    assert delta.run is not None and delta.run.status is RunStatus.CANCELLING
    assert world.statuses == {"a": NodeStatus.RUNNING, "b": NodeStatus.CANCELLED}


@pytest.mark.fault("F8")
def test_the_run_is_cancelled_only_when_all_is_dead() -> None:
    world = begun(node("a"), node("b"), fate=(FOR_GOOD, None))
    world.send(Cancelled())
    assert world.end().run is None
    delta = world.end()
    assert delta.run is not None and delta.run.status is RunStatus.CANCELLED
    assert world.statuses == {"a": NodeStatus.CANCELLED, "b": NodeStatus.CANCELLED}


@pytest.mark.fault("F8")
def test_a_cancelled_fan_out_starts_no_more_items() -> None:
    world = begun(node("each", over=[1, 2, 3], max_parallel=1), fate=(FOR_GOOD, None))
    world.send(Cancelled())
    delta = world.end()
    assert not delta.started
    assert world.statuses["each"] is NodeStatus.CANCELLED


def test_a_success_that_comes_after_the_request_counts_for_its_node_but_not_for_the_run() -> None:
    world = begun(node("a"), node("b", "a"))
    world.send(Cancelled())
    world.end()
    assert world.statuses == {"a": NodeStatus.SUCCEEDED, "b": NodeStatus.CANCELLED}
    assert world.state.status is RunStatus.CANCELLED
    assert world.rows.run.error is None


def test_a_run_that_could_not_be_cancelled_any_more_succeeded() -> None:
    world = begun(node("a"), node("b"))
    world.send(Cancelled())
    world.end()
    world.end()
    assert world.state.status is RunStatus.SUCCEEDED


def test_a_retry_that_waits_is_stopped_and_no_other_follows() -> None:
    world = begun(node("a", retries=5), fate=(FAILURE, None))
    world.end()
    delta = world.send(Cancelled())
    assert delta.stop == (("a", 0, 2),)
    assert not world.end().started
    assert world.state.status is RunStatus.CANCELLED


def test_a_failure_that_comes_after_the_request_is_not_retried() -> None:
    state = fresh(workflow(node("a", retries=5)))
    for event in (Begun(), Cancelled()):
        state.apply(advance(state, event, 1.0))
    delta = advance(state, TaskEnded("a", 0, 1, FAILURE), 1.0)
    assert delta.started == ()
    assert delta.run is not None and delta.run.status is RunStatus.CANCELLED
    assert [row.status for row in delta.nodes] == [NodeStatus.FAILED]

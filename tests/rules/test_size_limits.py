"""Nothing grows without bound: what a task is given, what a fan-out runs over, what a run returns."""

from __future__ import annotations

from typing import Any

import pytest
from rules_world import SUCCESS, World, fresh, node, ref, run_to_the_end, workflow

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.rules.advance import Begun, TaskEnded, advance
from klassd.workflows.rules.inputs import ResolveError, resolve
from klassd.workflows.rules.state import RunState

PIECE = "x" * 60_000  # fits an output, and an item


def pieces(count: int, *after: Node, returns: Any = None) -> World:
    """A run to its end whose fan-out "each" gives so many pieces, and nothing else gives any."""
    definition = workflow(node("each", over=list(range(count))), *after, returns=returns)
    return run_to_the_end(definition, lambda name, *_: (SUCCESS, PIECE if name == "each" else None))


def fan_in(count: int) -> RunState:
    state = fresh(workflow(node("each", over=list(range(count))), node("all", "each", inputs={"x": ref("each")})))
    state.apply(advance(state, Begun(), 1.0))
    for index in range(count):
        state.apply(advance(state, TaskEnded("each", index, 1, SUCCESS, PIECE), 1.0))
    return state


@pytest.mark.fault("F6")
def test_what_a_task_is_given_has_a_limit() -> None:
    assert len(resolve(fan_in(69), "all", 0)["x"]) == 69
    expected = r"the inputs of node 'all' have 4,200,2\d\d bytes, at most 4,194,304: pass large data as an Artifact"
    with pytest.raises(ResolveError, match=expected):
        resolve(fan_in(70), "all", 0)


@pytest.mark.fault("F6")
def test_the_items_of_a_fan_out_have_a_limit_together() -> None:
    world = pieces(280, node("next", "each", over=ref("each")))
    assert world.statuses["next"] is NodeStatus.FAILED
    assert world.state.nodes["next"].error == (
        "node 'next' cannot fan out: its items have 16,800,560 bytes together, at most 16,777,216: "
        "pass large data as an Artifact"
    )
    assert pieces(270, node("next", "each", over=ref("each"))).statuses["next"] is NodeStatus.SUCCEEDED


def test_what_a_run_returns_has_a_limit() -> None:
    world = pieces(70, returns=ref("each"))
    assert world.state.status is RunStatus.FAILED
    assert world.rows.run.error == (
        "every node is done, but the run has no output: it has 4,200,211 bytes, at most 4,194,304: "
        "return less of it, or an Artifact"
    )
    assert pieces(69, returns=ref("each")).state.status is RunStatus.SUCCEEDED

"""Ten thousand nodes: in a row, side by side, all ending in one decision. Nothing recurses, nothing is quadratic."""

from __future__ import annotations

import pytest
from rules_world import FOR_GOOD, SUCCESS, fresh, node, workflow

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Outcome
from klassd.workflows.rules import graph
from klassd.workflows.rules.advance import Begun, Cancelled, TaskEnded, advance
from klassd.workflows.rules.state import RunState

MANY = 10_000


def chain(**fields: object) -> Definition:
    return workflow(node("n0"), *(node(f"n{number}", f"n{number - 1}", **fields) for number in range(1, MANY)))


def begun(definition: Definition) -> RunState:
    state = fresh(definition)
    state.apply(advance(state, Begun(), 1.0))
    return state


def statuses(state: RunState) -> set[NodeStatus]:
    return {each.status for name, each in state.nodes.items() if name != "n0"}


@pytest.mark.fault("F2")
def test_a_chain_of_ten_thousand_runs_node_by_node() -> None:
    state = begun(chain())
    for number in range(MANY):
        delta = advance(state, TaskEnded(f"n{number}", 0, 1, SUCCESS), 1.0)
        assert [start.node for start in delta.started] == ([f"n{number + 1}"] if number < MANY - 1 else [])
        state.apply(delta)
    assert state.status is RunStatus.SUCCEEDED


@pytest.mark.fault("F2")
def test_a_failure_at_its_head_skips_the_whole_chain_in_one_decision() -> None:
    state = begun(chain())
    delta = advance(state, TaskEnded("n0", 0, 1, FOR_GOOD), 1.0)
    state.apply(delta)
    assert len(delta.nodes) == MANY
    assert statuses(state) == {NodeStatus.SKIPPED}
    assert state.status is RunStatus.FAILED
    assert delta.run is not None and delta.run.error == "n0 failed: PermanentError: no"


def test_a_chain_of_conditions_is_omitted_in_one_decision() -> None:
    definition = workflow(
        node("n0"),
        *(node(f"n{number}", f"n{number - 1}", when=Outcome(f"n{number - 1}", "failed")) for number in range(1, MANY)),
    )
    state = begun(definition)
    state.apply(advance(state, TaskEnded("n0", 0, 1, SUCCESS), 1.0))
    assert statuses(state) == {NodeStatus.OMITTED}
    assert state.status is RunStatus.SUCCEEDED


def test_a_chain_is_cancelled_in_one_decision() -> None:
    state = begun(chain())
    state.apply(advance(state, Cancelled(), 1.0))
    assert statuses(state) == {NodeStatus.CANCELLED}
    assert state.status is RunStatus.CANCELLING


def test_one_node_may_need_ten_thousand() -> None:
    names = [f"n{number}" for number in range(MANY)]
    state = begun(workflow(*map(node, names), node("last", *names)))
    for name in names[:-1]:
        delta = advance(state, TaskEnded(name, 0, 1, SUCCESS), 1.0)
        assert not delta.started
        state.apply(delta)
    assert [start.node for start in advance(state, TaskEnded(names[-1], 0, 1, SUCCESS), 1.0).started] == ["last"]


def test_a_chain_of_ten_thousand_has_no_problems_and_its_ring_is_named() -> None:
    assert graph.problems(chain()) == []
    ring = workflow(node("n0", f"n{MANY - 1}"), *(node(f"n{number}", f"n{number - 1}") for number in range(1, MANY)))
    (problem,) = graph.problems(ring)
    ring_of = " -> ".join(f"n{number}" for number in range(11))
    assert problem == f"these nodes wait for each other: {ring_of} -> (9,988 more) -> n9999 -> n0"

"""What a node does for every way its needs can end: the table by hand for one need, and every graph of three nodes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from rules_world import FOR_GOOD, SUCCESS, node, ref, run_to_the_end, workflow

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import AnyOf, Compare, Node, Not, Outcome
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.testing.simulation.reference import Reference

S, F, X, O = NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.OMITTED  # noqa: E741

TRIGGERS: dict[str, dict[str, Any]] = {
    "after": {},
    "data": {"inputs": {"x": ref("need")}},
    "optional data": {"inputs": {"x": ref("need")}, "optional": ("x",)},
    "when failed": {"when": Outcome("need", "failed")},
    "when not failed": {"when": Not(Outcome("need", "failed"))},
    "when succeeded": {"when": Outcome("need", "succeeded")},
    "when not succeeded": {"when": Not(Outcome("need", "succeeded"))},
    "when data is so": {"when": Compare("==", ref("need", "n"), 1)},
    "when data is otherwise": {"when": Compare("==", ref("need", "n"), 2)},
    "when failed, with its data": {"when": Outcome("need", "failed"), "inputs": {"x": ref("need")}},
    "when failed, with its data if any": {"when": Outcome("need", "failed"), "inputs": {"x": ref("need")}, "optional": ("x",)},
    "fan-out over it": {"over": ref("need", "items")},
}
#                                    the need:  succeeded failed skipped omitted
EXPECTED = {
    "after": (S, X, X, S),
    "data": (S, X, X, O),
    "optional data": (S, X, X, S),
    "when failed": (O, S, O, O),
    "when not failed": (S, O, S, S),
    "when succeeded": (S, O, O, O),
    "when not succeeded": (O, S, S, S),
    "when data is so": (S, X, X, O),
    "when data is otherwise": (O, X, X, O),
    "when failed, with its data": (O, X, O, O),
    "when failed, with its data if any": (O, S, O, O),
    "fan-out over it": (S, X, X, O),
}
VALUE = {"n": 1, "items": [7, 8]}


def _script(failing: set[str]) -> Any:
    def fate(name: str, index: int, attempt: int) -> tuple[Verdict, Any]:
        return (FOR_GOOD, None) if name in failing else (SUCCESS, VALUE)

    return fate


def _need_that_ends(status: NodeStatus) -> tuple[list[Node], set[str]]:
    """Nodes of which the one named ``need`` comes to that status."""
    if status is X:
        return [node("root"), node("need", "root")], {"root"}
    if status is O:
        return [node("root"), node("need", "root", when=Outcome("root", "failed"))], set()
    return [node("need")], {"need"} if status is F else set()


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("place", range(4), ids=("succeeded", "failed", "skipped", "omitted"))
@pytest.mark.fault("F10")
def test_a_node_with_one_need_ends_as_the_table_says(trigger: str, place: int) -> None:
    status = (S, F, X, O)[place]
    nodes, failing = _need_that_ends(status)
    world = run_to_the_end(workflow(*nodes, node("it", "need", **TRIGGERS[trigger])), _script(failing))
    assert world.statuses["need"] is status
    assert world.statuses["it"] is EXPECTED[trigger][place]


def _renamed(trigger: str, need: str) -> dict[str, Any]:
    """The trigger for a need of another name."""
    return {name: _of(value, need) for name, value in TRIGGERS[trigger].items()}


def _of(value: Any, need: str) -> Any:
    match value:
        case Outcome(_, is_):
            return Outcome(need, is_)
        case Not(of):
            return Not(_of(of, need))
        case Compare(op, left, right):
            return Compare(op, _of(left, need), right)
        case {"$ref": _, "path": path}:
            return ref(need, *path)
        case {"x": inner}:
            return {"x": _of(inner, need)}
    return value


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two triggers of one node: conditions both, inputs beside each other."""
    both = first | second
    if "when" in first and "when" in second:
        both["when"] = AnyOf((first["when"], second["when"]))
    if "inputs" in first and "inputs" in second:
        both["inputs"] = {"x": first["inputs"]["x"], "y": second["inputs"]["x"]}
        both["optional"] = (*first.get("optional", ()), *("y" for _ in second.get("optional", ())))
    return both


@pytest.mark.parametrize("names", ["", "a", "b", "ab", "c", "abc"])
@pytest.mark.fault("F10")
def test_every_graph_of_three_nodes_ends_as_the_reference_says(names: str) -> None:
    failing = set(names)
    for of_b, on_a, on_b in product((None, *TRIGGERS), repeat=3):
        b = node("b", "a", **_renamed(of_b, "a")) if of_b else node("b")
        fields = [_renamed(trigger, need) for trigger, need in ((on_a, "a"), (on_b, "b")) if trigger]
        merged = _merged(*fields) if len(fields) == 2 else fields[0] if fields else {}
        if b.mapped and on_b and ("data is" in on_b or "fan-out" in on_b):
            continue  # a list has no such parts
        needs = [need for trigger, need in ((on_a, "a"), (on_b, "b")) if trigger]
        definition = workflow(node("a"), b, node("c", *needs, **merged))
        world = run_to_the_end(definition, _script(failing))
        expected = Reference(definition, lambda name, _: (name not in failing, VALUE))
        assert world.statuses == expected.status, (of_b, on_a, on_b)
        assert world.state.status is expected.run, (of_b, on_a, on_b)


@pytest.mark.parametrize(
    ("handler", "fails", "expected"),
    [
        ({"when": Outcome("work", "failed")}, {"work"}, RunStatus.SUCCEEDED),
        ({"when": Outcome("work", "failed")}, {"work", "handler"}, RunStatus.FAILED),
        ({"when": Not(Outcome("work", "succeeded"))}, {"work"}, RunStatus.FAILED),  # it ran, but never spoke of the failure
        ({"when": Outcome("work", "failed")}, set(), RunStatus.SUCCEEDED),
        ({}, {"work"}, RunStatus.FAILED),
    ],
)
def test_a_failure_is_handled_by_a_node_that_speaks_of_it_and_succeeds(
    handler: dict[str, Any], fails: set[str], expected: RunStatus
) -> None:
    world = run_to_the_end(workflow(node("work"), node("handler", "work", **handler)), _script(fails))
    assert world.state.status is expected


def test_what_a_handled_failure_skipped_does_not_fail_the_run() -> None:
    nodes = (node("work"), node("next", "work"), node("handler", "work", when=Outcome("work", "failed")))
    world = run_to_the_end(workflow(*nodes), _script({"work"}))
    assert world.statuses == {"work": F, "next": X, "handler": S}
    assert world.state.status is RunStatus.SUCCEEDED


def test_an_omitted_fan_out_feeds_an_empty_list_to_a_fan_in() -> None:
    nodes = (node("gate"), node("each", "gate", over=[1], when=Outcome("gate", "failed")))
    fan_in = node("all", "each", inputs={"x": ref("each")})
    world = run_to_the_end(workflow(*nodes, fan_in), _script(set()))
    assert world.statuses == {"gate": S, "each": O, "all": S}

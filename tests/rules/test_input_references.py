"""References in inputs: followed, escaped, and explained where they lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_world import SUCCESS, fresh, node, ref, workflow

from klassd.workflows.model.states import NodeStatus
from klassd.workflows.model.workflow import Node, Outcome
from klassd.workflows.rules.advance import Begun, TaskEnded, advance
from klassd.workflows.rules.inputs import RESERVED, ResolveError, items_of, refs_in, resolve, show
from klassd.workflows.rules.state import RunState

SOURCE = {"rows": [{"id": "x"}, {"id": "y"}], "name": "dk", "none": None}
ROWS = '[{"id":"x"},{"id":"y"}]'
JSON = f'{{"rows":{ROWS},"name":"dk","none":null}}'
PARAMS = {"market": {"code": "se"}, "limit": 3}


def state_with(*nodes: Node, outputs: dict[str, Any] | None = None) -> RunState:
    """``src`` has succeeded; the others run or wait."""
    definition = workflow(node("src"), *nodes, params={"size": {"type": "integer", "default": 7}})
    state = fresh(definition, PARAMS)
    for event in (Begun(), TaskEnded("src", 0, 1, SUCCESS, SOURCE, outputs or {})):
        state.apply(advance(state, event, 1.0))
    return state


def given_to(value: Any, **fields: Any) -> Any:
    state = state_with(node("it", "src", inputs={"x": value}, **fields), outputs={"file": {"size": 9}})
    return resolve(state, "it", 0)["x"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (None, None),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}),
        (ref("src"), SOURCE),
        ({"$ref": "src"}, SOURCE),
        (ref("src", "name"), "dk"),
        (ref("src", "none"), None),
        (ref("src", "rows", 1, "id"), "y"),
        (ref("src", output="file"), {"size": 9}),
        (ref("src", "size", output="file"), 9),
        ({"$param": "limit"}, 3),
        ({"$param": "market", "path": ["code"]}, "se"),
        ({"$param": "size"}, 7),
        ([ref("src", "name"), {"deep": [ref("src", "rows", 0)]}], ["dk", {"deep": [{"id": "x"}]}]),
        ({"$literal": {"$ref": "src"}}, {"$ref": "src"}),
        ({"$literal": {"$literal": 1}}, {"$literal": 1}),
    ],
)
def test_what_a_value_becomes(value: Any, expected: Any) -> None:
    assert given_to(value) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*RESERVED, "a", "b"]), inner),
    max_leaves=20,
)


@given(json_values)
def test_user_data_in_a_literal_comes_back_unchanged_and_refers_to_nothing(value: Any) -> None:
    assert given_to({"$literal": value}) == value
    assert refs_in({"$literal": value}) == set()


def test_each_task_of_a_fan_out_gets_its_own_item() -> None:
    each = node("each", "src", over=ref("src", "rows"), inputs={"id": {"$item": ["id"]}, "whole": {"$item": []}})
    state = state_with(each)
    assert resolve(state, "each", 1) == {"id": "y", "whole": {"id": "y"}}
    assert items_of(state, each) == SOURCE["rows"]


def test_a_constant_list_may_hold_references() -> None:
    each = node("each", "src", over=[1, ref("src", "name")])
    assert items_of(state_with(each), each) == [1, "dk"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ref("src", "nam"), f"src.nam does not exist: src is an object without 'nam': {JSON}"),
        (ref("src", "rows", 2), f"src.rows[2] does not exist: src.rows is a list without 2: {ROWS}"),
        (ref("src", "rows", -1), f"src.rows[-1] does not exist: src.rows is a list without -1: {ROWS}"),
        (ref("src", "none", "x"), "src.none.x does not exist: src.none is null without 'x': null"),
        (ref("src", "name", 0), 'src.name[0] does not exist: src.name is text without 0: "dk"'),
        (ref("src", output="fil"), "src.outputs.fil does not exist: src never called ctx.set_output('fil', ...)"),
        ({"$param": "limits"}, "the run has no parameter 'limits'; it was given 'size', 'market', 'limit'"),
        ({"$item": ["id"]}, "item.id has no meaning here: only a mapped node's inputs have an item"),
    ],
)
def test_a_reference_that_leads_nowhere_is_explained(value: Any, message: str) -> None:
    with pytest.raises(ResolveError) as caught:
        given_to(value)
    assert str(caught.value) == f"node 'it', input 'x': {message}"


def test_an_input_that_accepts_null_gets_it_from_a_node_without_output() -> None:
    gone = node("gone", "src", when=Outcome("src", "failed"))
    inputs = {"x": ref("gone", "deep"), "y": {"in": [ref("gone")]}, "z": ref("src", "name")}
    state = state_with(gone, node("it", "src", "gone", inputs=inputs, optional=("x", "y")))
    assert state.nodes["gone"].status is NodeStatus.OMITTED
    assert resolve(state, "it", 0) == {"x": None, "y": None, "z": "dk"}


def test_an_input_that_does_not_accept_null_says_what_became_of_its_source() -> None:
    gone = node("gone", "src", when=Outcome("src", "failed"))
    state = state_with(gone, node("it", "src", "gone", inputs={"x": ref("gone")}))
    with pytest.raises(ResolveError, match="node 'it', input 'x': gone was omitted and has no output"):
        resolve(state, "it", 0)


def test_refs_in_finds_every_node_however_deep() -> None:
    value = {"a": ref("one"), "b": [{"c": [ref("two", "x")]}, {"$param": "p"}, {"$item": []}], "d": {"$literal": ref("three")}}
    assert refs_in(value) == {"one", "two"}
    deep: Any = ref("bottom")
    for _ in range(50_000):
        deep = [deep]
    assert refs_in(deep) == {"bottom"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ref("data-proxy", "dataset", 0, "id"), "data-proxy.dataset[0].id"),
        (ref("a", "x", output="rows"), "a.outputs.rows.x"),
        ({"$item": ["id", 1]}, "item.id[1]"),
        ({"$param": "market"}, "params.market"),
        ([1, 2], "[1,2]"),
    ],
)
def test_a_reference_reads_as_a_person_writes_it(value: Any, words: str) -> None:
    assert show(value) == words

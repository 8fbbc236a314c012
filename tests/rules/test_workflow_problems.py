"""What is wrong with a workflow is said before it runs, all of it, by name."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_graphs import random_workflow
from rules_world import node, ref, workflow

from klassd.workflows.model.workflow import Compare, Definition, Node, Outcome
from klassd.workflows.rules.graph import cycles, problems

NO_ITEM = "item has no meaning here: only the inputs of a mapped node have an item"
NAMES = "expected a letter or digit, then at most 62 letters, digits, '.', '_' or '-'"


def test_a_good_workflow_has_none() -> None:
    each = node("each", "src", over=ref("src", "rows"), inputs={"x": {"$item": []}}, max_parallel=1)
    last = node("last", "each", "src", inputs={"x": ref("each")}, when=Compare("==", ref("src", "n"), {"$param": "n"}))
    assert problems(workflow(node("src"), each, last, returns=ref("last"), params={"n": {"type": "integer"}})) == []


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], "there is nothing in it: add a job"),
        ([node("a"), node("a"), node("a")], "there are 3 nodes named 'a'"),
        ([node("a b")], f"the node name 'a b' is not usable: {NAMES}"),
        ([node("x" * 64)], f"the node name {'x' * 64!r} is not usable: {NAMES}"),
        ([node("-a")], f"the node name '-a' is not usable: {NAMES}"),
        ([node("a\n")], f"the node name 'a\\n' is not usable: {NAMES}"),
        ([node("publish"), node("b", "publsih")], "node 'b': needs: there is no node 'publsih'. Did you mean 'publish'?"),
        ([node("b", inputs={"x": [ref("nowhere")]})], "node 'b': input 'x': there is no node 'nowhere'."),
        ([node("a"), node("b", when=Outcome("z", "failed"))], "node 'b': when: there is no node 'z'."),
        ([node("b", when=Compare("==", 1, ref("z")))], "node 'b': when: there is no node 'z'."),
        ([node("b", over=ref("z"))], "node 'b': over: there is no node 'z'."),
        ([node("a", "a")], "node 'a': it depends on itself"),
        ([node("a", inputs={"x": ref("a")})], "node 'a': it depends on itself"),
        ([node("a"), node("b", inputs={"x": ref("a")})], "node 'b': it uses 'a', which is not among its needs"),
        ([node("a"), node("b", when=Outcome("a", "failed"))], "node 'b': it uses 'a', which is not among its needs"),
        ([node("a"), node("b", over=ref("a"))], "node 'b': it uses 'a', which is not among its needs"),
        ([node("a", "b"), node("b", "a")], "these nodes wait for each other: a -> b -> a"),
        (
            [node("a", inputs={"x": {"$item": ["id"]}})],
            "node 'a': input 'x': item.id has no meaning here: only the inputs of a mapped node have an item",
        ),
        (
            [node("a", over={"$item": []})],
            "node 'a': over: item has no meaning here: only the inputs of a mapped node have an item",
        ),
        (
            [node("a", inputs={"x": {"$param": "limt"}})],
            "node 'a': input 'x': parameter 'limt' is not declared. Did you mean 'limit'?",
        ),
        ([node("a", over=[1], max_parallel=0)], "node 'a': max_parallel is 0, expected at least 1"),
        ([node("a", over=5)], "node 'a': over: it is 5, expected a list or a reference to one"),
        ([node("a", over=list(range(10_001)))], "node 'a': over: 10,001 items, at most 10,000: give each task a batch of them"),
        (
            [node("a", inputs={"x": {"$param": "limit", "unit": "s"}})],
            "node 'a': input 'x': $param stands beside 'unit': user data with such a key goes into $literal",
        ),
        ([node("a", inputs={"x": {"$ref": 3}})], "node 'a': input 'x': $ref is 3, expected a name"),
        (
            [node("a", inputs={"x": {"$item": "id"}}, over=[1])],
            "node 'a': input 'x': the path of $item is 'id', expected a list of keys and indices",
        ),
    ],
)
@pytest.mark.fault("F1")
def test_each_problem_is_said(nodes: list[Node], expected: str) -> None:
    assert problems(workflow(*nodes, params={"limit": {}})) == [expected]


def test_what_it_returns_is_checked_too() -> None:
    assert problems(workflow(node("a"), returns={"x": ref("b"), "y": {"$item": []}})) == [
        "returns: there is no node 'b'.",
        f"returns: {NO_ITEM}",
    ]


def test_all_problems_are_said_at_once() -> None:
    found = problems(workflow(node("a", "b", "zz", max_parallel=0), node("b", "a"), node("c!", inputs={"p": {"$param": "q"}})))
    assert found == [
        f"the node name 'c!' is not usable: {NAMES}",
        "node 'a': needs: there is no node 'zz'.",
        "node 'a': max_parallel is 0, expected at least 1",
        "node 'c!': input 'p': parameter 'q' is not declared.",
        "these nodes wait for each other: a -> b -> a",
    ]


def test_a_workflows_own_name_follows_the_rule_and_a_jobs_key_its_own() -> None:
    key = "shop.jobs:Publish"
    assert problems(Definition("my flow", (node("a"),))) == [f"its name 'my flow' is not usable: {NAMES}"]
    assert problems(Definition(key, (node(key),), kind="job", returns=ref(key))) == []


def test_data_that_looks_like_a_reference_is_no_problem_in_a_literal() -> None:
    assert problems(workflow(node("a", inputs={"x": {"$literal": {"$ref": 3, "more": 1}}}))) == []


@given(st.randoms(use_true_random=False), st.integers(2, 6))
@pytest.mark.fault("F1")
def test_every_cycle_put_into_a_good_graph_is_found_and_is_one(rng: Random, length: int) -> None:
    good = random_workflow(rng)
    assert cycles(by_name(good.nodes)) == []
    ring = [f"ring{number}" for number in range(length)]
    closed = [node(name, ring[place - 1]) for place, name in enumerate(ring)]
    nodes = by_name([*good.nodes, *closed, node("hangs-on", ring[0])])
    (cycle,) = cycles(nodes)
    assert sorted(cycle) == sorted(ring)
    assert all(cycle[place - 1] in nodes[name].needs for place, name in enumerate(cycle))


def test_two_separate_cycles_are_both_named() -> None:
    nodes: list[Any] = [node("a", "b"), node("b", "a"), node("c", "d", "a"), node("d", "c")]
    assert problems(workflow(*nodes)) == [
        "these nodes wait for each other: a -> b -> a",
        "these nodes wait for each other: c -> d -> c",
    ]


def by_name(nodes: Any) -> dict[str, Node]:
    return {each.name: each for each in nodes}

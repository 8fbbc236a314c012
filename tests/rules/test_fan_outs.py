"""Fan-outs: bounds, order, empty and bad sources, retries of single items, and work that does not grow with their size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from rules_world import FAILURE, FOR_GOOD, STOPPED, SUCCESS, World, fresh, node, ref, run_to_the_end, workflow

from klassd.workflows.model.run import NodeRow
from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.rules.advance import Begun, Delta, TaskEnded, advance
from klassd.workflows.rules.inputs import resolve


def succeed(name: str, index: int, attempt: int) -> Any:
    return SUCCESS, f"{name}{index}"


def fan_out(over: Any, *needs: str, **fields: Any) -> Node:
    return node("each", *needs, over=over, **{"inputs": {"x": {"$item": []}}} | fields)


def started(delta: Delta) -> list[tuple[int, int]]:
    return [(start.index, start.attempt) for start in delta.started]


def test_items_start_in_order_and_never_more_than_max_parallel() -> None:
    world = World(workflow(fan_out([10, 20, 30, 40, 50], max_parallel=2)), succeed)
    assert started(world.send(Begun())) == [(0, 1), (1, 1)]
    assert [started(world.end(1)) for _ in range(3)] == [[(2, 1)], [(3, 1)], [(4, 1)]]
    assert started(world.end()) == []
    assert world.end().run is not None


def test_without_max_parallel_all_start_at_once() -> None:
    world = World(workflow(fan_out(list(range(100)))), succeed)
    assert started(world.send(Begun())) == [(index, 1) for index in range(100)]


@pytest.mark.fault("A10")
def test_an_expansion_is_one_row_with_its_items_and_the_end_another() -> None:
    world = run_to_the_end(workflow(fan_out([1, 2, 3], max_parallel=1)), succeed)
    rows = [row for delta in world.decisions for row in delta.nodes]
    assert rows == [
        NodeRow(name="each", status=NodeStatus.RUNNING, items=[1, 2, 3]),
        NodeRow(name="each", status=NodeStatus.SUCCEEDED, finished_at=world.now),
    ]


@pytest.mark.fault("F7")
def test_the_output_is_in_item_order_whatever_order_they_end_in() -> None:
    world = World(workflow(fan_out([1, 2, 3]), node("all", "each", inputs={"x": ref("each")}), returns=ref("each", 2)), succeed)
    world.send(Begun())
    for _ in range(3):
        world.end(-1)
    assert resolve(world.state, "all", 0) == {"x": ["each0", "each1", "each2"]}
    world.end()
    assert world.rows.run.output == "each2"


@pytest.mark.parametrize("last", [0, 1, 2])
def test_the_decision_that_ends_a_fan_out_sees_the_output_of_its_last_item_too(last: int) -> None:
    next_one = node("next", "each", over=ref("each"), max_parallel=1)
    rows = node("rows", "each", over=ref("each", output="row"), max_parallel=1)
    state = fresh(workflow(fan_out([1, 2, 3]), next_one, rows, returns=ref("next")))
    state.apply(advance(state, Begun(), 1.0))
    for index in sorted(range(3), key=lambda index: index == last):
        state.apply(advance(state, TaskEnded("each", index, 1, SUCCESS, index * 10, {"row": index}), 1.0))
    assert state.nodes["next"].items == [0, 10, 20]
    assert state.nodes["rows"].items == [0, 1, 2]


@pytest.mark.parametrize("last", [0, 1, 2])
def test_the_output_of_a_run_holds_the_last_item_that_ended(last: int) -> None:
    state = fresh(workflow(fan_out([1, 2, 3]), returns={"all": ref("each"), "rows": ref("each", output="row")}))
    state.apply(advance(state, Begun(), 1.0))
    for index in sorted(range(3), key=lambda index: index == last):
        delta = advance(state, TaskEnded("each", index, 1, SUCCESS, index * 10, {"row": index}), 1.0)
        state.apply(delta)
    assert delta.run is not None and delta.run.output == {"all": [0, 10, 20], "rows": [0, 1, 2]}


@pytest.mark.fault("F7")
def test_the_retry_of_one_item_starts_only_that_item_and_keeps_its_place() -> None:
    world = World(workflow(fan_out([1, 2, 3], max_parallel=2, retries=1)), lambda _, index, attempt: _once_ill(index, attempt))
    world.send(Begun())
    retry = world.end(0)
    assert started(retry) == [(0, 2)]
    assert world.now + 9 <= retry.started[0].not_before <= world.now + 11
    assert world.live == [("each", 1, 1), ("each", 0, 2)]
    while world.live:
        world.end()
    assert world.state.status is RunStatus.SUCCEEDED


def _once_ill(index: int, attempt: int) -> Any:
    return (FAILURE, None) if index == 0 and attempt == 1 else (SUCCESS, index)


def test_other_items_go_on_when_one_fails_and_the_node_fails_when_all_are_done() -> None:
    world = World(
        workflow(fan_out([1, 2, 3], max_parallel=1)), lambda _, index, __: (FOR_GOOD if index == 1 else SUCCESS, index)
    )
    world.send(Begun())
    world.end()
    assert world.statuses["each"] is NodeStatus.RUNNING
    assert started(world.end()) == [(2, 1)]
    world.end()
    assert world.state.nodes["each"].error == "1 of 3 items failed; item 1: PermanentError: no"
    assert world.rows.run.error == "each failed: 1 of 3 items failed; item 1: PermanentError: no"


def test_the_error_told_is_of_the_first_item_whatever_order_they_failed_in() -> None:
    world = World(workflow(fan_out([1, 2, 3])), lambda *_: (FOR_GOOD, None))
    world.send(Begun())
    for place in (2, 0, 0):
        world.end(place)
    assert world.state.nodes["each"].error == "3 of 3 items failed; item 0: PermanentError: no"


def test_an_item_stopped_by_itself_cancels_the_node_once_the_others_are_done() -> None:
    world = World(workflow(fan_out([1, 2]), node("after", "each")), lambda _, index, __: (STOPPED if index else SUCCESS, None))
    world.send(Begun())
    world.end()
    world.end()
    assert world.statuses == {"each": NodeStatus.CANCELLED, "after": NodeStatus.SKIPPED}
    assert world.state.status is RunStatus.FAILED
    assert world.rows.run.error == "each was stopped"


@pytest.mark.parametrize(
    ("on_empty", "expected", "run"),
    [
        ("omit", NodeStatus.OMITTED, RunStatus.SUCCEEDED),
        ("succeed", NodeStatus.SUCCEEDED, RunStatus.SUCCEEDED),
        ("fail", NodeStatus.FAILED, RunStatus.FAILED),
    ],
)
@pytest.mark.fault("F4")
def test_an_empty_list_is_what_on_empty_says(on_empty: str, expected: NodeStatus, run: RunStatus) -> None:
    world = run_to_the_end(workflow(fan_out([], on_empty=on_empty), returns=ref("each")), succeed)
    assert (world.statuses["each"], world.state.status) == (expected, run)
    assert world.rows.nodes["each"].items == []
    assert world.rows.run.output == ([] if run is RunStatus.SUCCEEDED else None)


def bad_sources() -> dict[str, tuple[Any, Any, str]]:
    """What the source gives, the reference to it, the message."""
    return {
        "an object": ({"a": 1}, ref("src"), 'cannot fan out over src: expected a list, found an object: {"a":1}'),
        "null": (None, ref("src"), "cannot fan out over src: expected a list, found null: null"),
        "text": ("ab", ref("src"), 'cannot fan out over src: expected a list, found text: "ab"'),
        "long": ("é" * 500, ref("src"), f'found text: "{"é" * 99}... (1,002 bytes)'),
        "no such key": ({"a": [1]}, ref("src", "b"), "src.b does not exist: src is an object without 'b': {\"a\":[1]}"),
        "no such index": ([1], ref("src", 3), "src[3] does not exist: src is a list without 3: [1]"),
        "never set": ({}, ref("src", output="rows"), "src never called ctx.set_output('rows', ...)"),
        "too many": (list(range(10_001)), ref("src"), "10,001 items, at most 10,000"),
        "too big": (["x" * 70_000], ref("src"), "item 0 has 70,002 bytes, at most 65,536: pass large data as an Artifact"),
    }


@pytest.mark.parametrize("case", bad_sources())
@pytest.mark.fault("F5", "F6")
def test_a_bad_source_fails_the_node_before_any_item_starts(case: str) -> None:
    output, over, message = bad_sources()[case]
    world = World(workflow(node("src"), fan_out(over, "src")), lambda *_: (SUCCESS, output))
    world.send(Begun())
    delta = world.end()
    assert delta.started == ()
    assert world.statuses["each"] is NodeStatus.FAILED
    assert message in (world.state.nodes["each"].error or "")
    assert (world.state.nodes["each"].error or "").startswith("node 'each' cannot fan out")


@pytest.mark.fault("F3")
def test_ten_thousand_items_are_allowed() -> None:
    world = World(workflow(node("src"), fan_out(ref("src"), "src", max_parallel=3)), lambda *_: (SUCCESS, list(range(10_000))))
    world.send(Begun())
    assert len(world.end().started) == 3


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls it makes, of Python and of C functions."""
    count = 0

    def counted(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def work_per_event(items: int, fails_once: bool) -> list[int]:
    """Calls made for each of the first forty items of a fan-out that end."""
    state = fresh(workflow(fan_out(list(range(items)), max_parallel=60, retries=1), node("after", "each")))
    state.apply(advance(state, Begun(), 1.0))
    counts = []
    for index in range(40):
        event = TaskEnded("each", index, 1, FAILURE if fails_once else SUCCESS, index)
        counts.append(calls_of(lambda event=event: state.apply(advance(state, event, 1.0))))  # type: ignore[misc]
    return counts


@pytest.mark.parametrize("fails_once", [False, True])
@pytest.mark.fault("F3")
def test_an_item_that_ends_costs_the_same_among_100_and_10_000(fails_once: bool) -> None:
    few, many = work_per_event(100, fails_once), work_per_event(10_000, fails_once)
    assert few == many
    assert max(many) < 60


def test_a_node_that_ends_costs_what_hangs_on_it_not_the_size_of_the_graph() -> None:
    def cost(nodes: int) -> int:
        chains = [node(f"n{number}", *([f"n{number - 2}"] if number > 1 else [])) for number in range(nodes)]
        state = fresh(workflow(*chains))
        state.apply(advance(state, Begun(), 1.0))
        return calls_of(lambda: state.apply(advance(state, TaskEnded("n0", 0, 1, SUCCESS), 1.0)))

    assert cost(10) == cost(10_000) < 80


def test_inputs_of_ten_thousand_items_are_fed_the_same_list_not_a_copy_each() -> None:
    nodes = (node("first", over=[1, 2]), node("each", "first", over=[1, 2, 3], inputs={"x": ref("first")}))
    world = World(workflow(*nodes), succeed)
    world.send(Begun())
    world.end()
    world.end()
    assert resolve(world.state, "each", 0)["x"] is resolve(world.state, "each", 2)["x"]

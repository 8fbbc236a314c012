"""Why something does not run, in the words a user reads."""

from __future__ import annotations

from typing import Any

import pytest
from rules_world import FAILURE, FOR_GOOD, SUCCESS, fresh, node, ref, workflow

from klassd.workflows.model.workflow import Call, Compare, Node, Outcome
from klassd.workflows.rules.advance import Begun, Cancelled, TaskEnded, advance
from klassd.workflows.rules.reasons import why_not_running, why_run_not_done
from klassd.workflows.rules.state import RunState


def after(*nodes: Node, ends: tuple[Any, ...] = (), call: Any = None) -> RunState:
    state = fresh(workflow(*nodes))
    for event in (Begun(), *ends):
        state.apply(advance(state, event, 100.0, call))
    return state


def ended(name: str, verdict: Any = SUCCESS, output: Any = None, index: int = 0) -> TaskEnded:
    return TaskEnded(name, index, 1, verdict, output)


PROXY_OK = Compare("==", ref("data-proxy", "status"), "ok")


def test_a_pending_node_waits_for_its_needs() -> None:
    needs = [f"need{number}" for number in range(5)]
    state = after(*map(node, needs), node("one", "need0"), node("many", *needs), ends=(ended("need4"),))
    assert why_not_running(state, "one") == "waiting for need0"
    assert why_not_running(state, "many") == "waiting for need0, need1, need2 and 1 more"


def test_a_node_that_runs_or_succeeded_has_no_reason() -> None:
    state = after(node("a"), node("b"), ends=(ended("a"),))
    assert (why_not_running(state, "a"), why_not_running(state, "b")) == ("", "")


def test_a_retry_says_which_and_when() -> None:
    state = after(node("a", retries=3), ends=(ended("a", FAILURE),))
    state.apply(advance(state, TaskEnded("a", 0, 2, FAILURE), 200.0))
    due = state.nodes["a"].tasks[0].not_before
    assert why_not_running(state, "a", due - 12) == "retry 2 of 3 in 12 s"
    assert why_not_running(state, "a", due - 0.5) == "retry 2 of 3 in less than 1 s"
    assert why_not_running(state, "a", due - 600) == "retry 2 of 3 in 10 min"
    assert why_not_running(state, "a", due - 7200) == "retry 2 of 3 in 2.0 h"
    assert why_not_running(state, "a", due + 1) == ""


def test_items_of_a_fan_out_that_wait_for_their_retries_are_counted() -> None:
    state = after(
        node("each", over=[1, 2, 3], retries=1), ends=tuple(ended("each", FAILURE, index=index) for index in range(2))
    )
    soonest = min(state.nodes["each"].tasks[index].not_before for index in range(2))
    assert why_not_running(state, "each", soonest - 5) == "retry 1 of 1 in 5 s, and 1 more item"


def test_a_fan_out_at_its_cap_says_so() -> None:
    state = after(node("each", over=list(range(9)), max_parallel=5))
    assert why_not_running(state, "each") == "5 of 5 items running (max_parallel)"


def test_a_skipped_node_names_what_failed() -> None:
    state = after(node("publish"), node("b", "publish"), node("c", "b"), ends=(ended("publish", FOR_GOOD),))
    assert why_not_running(state, "b") == "skipped: publish failed"
    assert why_not_running(state, "c") == "skipped: b was skipped"
    assert why_not_running(state, "publish") == "failed: PermanentError: no"


def test_a_handler_that_lacks_the_data_it_asked_for_names_the_failure() -> None:
    handler = node("handler", "work", when=Outcome("work", "failed"), inputs={"x": ref("work")})
    state = after(node("work"), handler, ends=(ended("work", FOR_GOOD),))
    assert why_not_running(state, "handler") == "skipped: work failed"


def test_an_omitted_node_quotes_its_condition() -> None:
    state = after(
        node("data-proxy"), node("b", "data-proxy", when=PROXY_OK), ends=(ended("data-proxy", SUCCESS, {"status": "no"}),)
    )
    assert why_not_running(state, "b") == "omitted: data-proxy.status == 'ok' was false"


def test_an_omitted_node_whose_source_was_omitted_names_it() -> None:
    gate = node("gone", "a", when=Outcome("a", "failed"))
    fed = node("fed", "gone", inputs={"x": ref("gone")})
    judged = node("judged", "gone", when=Compare("==", ref("gone", "n"), 1))
    spread = node("spread", "gone", over=ref("gone"))
    state = after(node("a"), gate, fed, judged, spread, ends=(ended("a"),))
    for name in ("fed", "judged", "spread"):
        assert why_not_running(state, name) == "omitted: gone was omitted", name


@pytest.mark.fault("F4")
def test_an_empty_fan_out_says_of_what() -> None:
    each = node("each", "markets", over=ref("markets", "ids"))
    state = after(node("markets"), each, ends=(ended("markets", SUCCESS, {"ids": []}),))
    assert why_not_running(state, "each") == "omitted: 0 items in markets.ids"


def test_a_function_that_said_no_is_named_though_it_cannot_be_asked_again() -> None:
    state = after(node("a"), node("b", "a", when=Call("m:f")), ends=(ended("a"),), call=lambda *_: False)
    assert why_not_running(state, "b") == "omitted: m:f() was false"


def test_the_reason_is_stored_with_the_node_so_that_every_reader_says_the_same() -> None:
    state = after(node("a"), node("b", "a"), node("c", "a", when=Outcome("a", "succeeded")))
    rows = advance(state, ended("a", FOR_GOOD), 1.0).nodes
    assert {row.name: row.error for row in rows} == {
        "a": "PermanentError: no",
        "b": "a failed",
        "c": "a.succeeded was false",
    }


def test_a_cancelled_node_says_so() -> None:
    state = after(node("a"), node("b", "a"), ends=(Cancelled(),))
    assert why_not_running(state, "b") == "cancelled"
    assert why_run_not_done(state) == "cancelling: 1 execution still to end"


def test_a_run_names_what_runs() -> None:
    assert why_run_not_done(fresh(workflow(node("a")))) == "nothing of it has started yet"
    assert why_run_not_done(after(node("a"), node("b"))) == "running a, b"
    assert why_run_not_done(after(node("a", over=[1, 2], max_parallel=1))) == "a: 1 of 1 items running (max_parallel)"
    assert why_run_not_done(after(node("a"), ends=(ended("a"),))) == ""

"""Conditions: what holds, what has no answer, and how they read."""

from __future__ import annotations

from typing import Any

import pytest
from rules_world import FAILURE, FOR_GOOD, SUCCESS, fresh, node, ref, workflow

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import All, AnyOf, Call, Compare, Condition, Not, Outcome, Truth
from klassd.workflows.rules.advance import Begun, TaskEnded, advance
from klassd.workflows.rules.conditions import ConditionError, describe, handles, holds, mentions, outcomes
from klassd.workflows.rules.inputs import Absent, ResolveError
from klassd.workflows.rules.state import RunState

OUTPUT = {"n": 3, "status": "ok", "yes": True, "no": False, "nothing": None}


def after_three_ends() -> RunState:
    """``good`` succeeded, ``bad`` failed, ``gone`` was omitted."""
    gone = node("gone", "good", when=Outcome("good", "failed"))
    state = fresh(workflow(node("good"), node("bad"), gone, node("open")), params={"limit": 2})
    for event in (Begun(), TaskEnded("good", 0, 1, SUCCESS, OUTPUT), TaskEnded("bad", 0, 1, FOR_GOOD)):
        state.apply(advance(state, event, 1.0))
    return state


STATE = after_three_ends()
N, ABSENT = ref("good", "n"), Compare("==", ref("bad", "n"), 1)
YES, NO = Truth(ref("good", "yes")), Truth(ref("good", "no"))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Compare("==", N, 3), True),
        (Compare("!=", N, 3), False),
        (Compare("<", N, 3), False),
        (Compare("<=", N, 3), True),
        (Compare(">", N, {"$param": "limit"}), True),
        (Compare(">=", {"$param": "limit"}, N), False),
        (Compare("==", ref("good", "status"), "ok"), True),
        (Compare("==", ref("good", "nothing"), None), True),
        (Compare("==", ref("good", "status"), 3), False),
        (YES, True),
        (NO, False),
        (Outcome("good", "succeeded"), True),
        (Outcome("good", "failed"), False),
        (Outcome("bad", "failed"), True),
        (Outcome("gone", "failed"), False),
        (Outcome("gone", "succeeded"), False),
        (Not(NO), True),
        (All((YES, YES)), True),
        (All((YES, NO)), False),
        (All(()), True),
        (AnyOf((NO, YES)), True),
        (AnyOf((NO, NO)), False),
        (AnyOf(()), False),
        (AnyOf((ABSENT, YES)), True),  # decided, whatever the output that is missing would have been
        (AnyOf((YES, ABSENT)), True),
        (All((ABSENT, NO)), False),
        (Not(All((ABSENT, NO))), True),
    ],
)
def test_what_holds(condition: Condition, expected: bool) -> None:
    assert holds(condition, STATE) is expected


@pytest.mark.parametrize("condition", [ABSENT, Not(ABSENT), All((ABSENT, YES)), AnyOf((ABSENT, NO)), AnyOf((NO, ABSENT))])
def test_what_depends_on_an_output_that_is_missing_is_open(condition: Condition) -> None:
    with pytest.raises(Absent) as caught:
        holds(condition, STATE)
    assert caught.value.node == "bad"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            Compare("<", ref("good", "status"), 3),
            """good.status < 3 compares text ("ok") with a number (3), which have no order""",
        ),
        (Truth(N), "good.n gave 3, expected true or false"),
        (Call("checks:fine", {"n": N}), "checks:fine(n=good.n) needs the application's code, which is not at hand here"),
    ],
)
def test_a_condition_without_an_answer_says_why(condition: Condition, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        holds(condition, STATE)
    assert str(caught.value) == message


def test_a_reference_that_leads_nowhere_says_where_it_got_to() -> None:
    with pytest.raises(ResolveError, match=r"good\.status\.x does not exist: good\.status is text without 'x': \"ok\""):
        holds(Truth(ref("good", "status", "x")), STATE)


def test_a_function_gets_its_arguments_as_data() -> None:
    heard: list[Any] = []

    def call(function: str, arguments: dict[str, Any]) -> object:
        heard.append((function, arguments))
        return True

    assert holds(Call("checks:fine", {"all": ref("good"), "two": {"$param": "limit"}}), STATE, call)
    assert heard == [("checks:fine", {"all": OUTPUT, "two": 2})]


@pytest.mark.parametrize("answer", [None, 1, "yes", []])
@pytest.mark.fault("F9")
def test_a_function_must_give_a_boolean(answer: object) -> None:
    with pytest.raises(ConditionError, match=r"checks:fine\(\) gave .*, expected true or false"):
        holds(Call("checks:fine"), STATE, lambda *_: answer)


def _raise(*_: object) -> object:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (Call("checks:fine"), "checks:fine() raised ZeroDivisionError: division by zero"),
        (
            Truth(ref("a", "missing")),
            "its condition has no answer: a.missing does not exist: a is an object without 'missing': {}",
        ),
    ],
)
@pytest.mark.fault("F9")
def test_a_condition_that_goes_wrong_fails_its_node_and_others_go_on(condition: Condition, error: str) -> None:
    state = fresh(workflow(node("a"), node("b", "a", when=condition), node("c", "a")))
    state.apply(advance(state, Begun(), 1.0))
    delta = advance(state, TaskEnded("a", 0, 1, SUCCESS, {}), 1.0, _raise)
    state.apply(delta)
    assert [start.node for start in delta.started] == ["c"]
    assert (state.nodes["b"].status, state.nodes["b"].error) == (NodeStatus.FAILED, error)
    state.apply(advance(state, TaskEnded("c", 0, 1, SUCCESS), 1.0))
    assert state.status is RunStatus.FAILED


@pytest.mark.fault("F11")
def test_an_output_of_a_failed_attempt_is_never_seen() -> None:
    state = fresh(workflow(node("a", retries=1), node("b", "a", when=Compare("==", ref("a"), "first"))))
    for event in (Begun(), TaskEnded("a", 0, 1, FAILURE, "first"), TaskEnded("a", 0, 2, SUCCESS, "second")):
        state.apply(advance(state, event, 1.0))
    assert state.nodes["b"].status is NodeStatus.OMITTED
    failed = fresh(workflow(node("a")))
    for event in (Begun(), TaskEnded("a", 0, 1, FOR_GOOD, "first", {"rows": 1})):
        failed.apply(advance(failed, event, 1.0))
    assert (failed.nodes["a"].tasks[0].output, failed.nodes["a"].tasks[0].outputs) == (None, {})


EVERYTHING = AnyOf((All((Outcome("a", "failed"), Not(Outcome("b", "succeeded")))), Compare("==", ref("c"), ref("d", "x")),
                    Truth(ref("e")), Call("m:f", {"x": [ref("f"), {"$literal": ref("not-meant")}]})))  # fmt: skip


def test_what_a_condition_speaks_of() -> None:
    assert mentions(EVERYTHING) == {"a", "b", "c", "d", "e", "f"}
    assert outcomes(EVERYTHING) == {"a", "b"}
    assert handles(EVERYTHING) == {"a"}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Compare("==", ref("data-proxy", "status"), "ok"), "data-proxy.status == 'ok'"),
        (Compare(">", ref("a", "rows", 0), {"$param": "limit"}), "a.rows[0] > params.limit"),
        (Compare("==", ref("a", output="rows"), {"$literal": {"$ref": 1}}), 'a.outputs.rows == {"$ref":1}'),
        (Truth(ref("a", "ok")), "a.ok"),
        (Outcome("publish", "failed"), "publish.failed"),
        (Not(Outcome("publish", "failed")), "not publish.failed"),
        (Call("m:f", {"x": ref("a"), "y": 1}), "m:f(x=a, y=1)"),
        (All((Outcome("a", "failed"), AnyOf((Outcome("b", "failed"), YES)))), "a.failed and (b.failed or good.yes)"),
        (Not(All((YES, NO))), "not (good.yes and good.no)"),
        (Compare("==", ref("a"), "x" * 100), f"a == '{'x' * 59}..."),
    ],
)
def test_a_condition_reads_as_its_author_wrote_it(condition: Condition, words: str) -> None:
    assert describe(condition) == words

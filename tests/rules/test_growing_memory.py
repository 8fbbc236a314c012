"""What an attempt asks for after one that was killed for its memory, and when there is no other."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_world import EVICTED, SUCCESS, World, workflow

from klassd.workflows import Grow
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.options import Growth, Needs, Options, RetryPolicy
from klassd.workflows.quantities import amount, limit, sides, written
from klassd.workflows.rules import growth, pods, retries
from klassd.workflows.rules.advance import Begun
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.rules.reasons import why_not_running

SIZES = st.integers(1, 2**50).map(written) | st.sampled_from(["1.5Gi", "1G", "64Mi", "0.1Gi", "1Ti", "513M", "7"])
FACTORS = st.floats(1.1, 50)


def killed(memory: str | None) -> Verdict:
    said = "killed: it used more memory than its limit"
    status = ExecutionStatus.FAILED
    return Verdict(status=status, cause=Cause.OOM, message=said, memory=memory, retry=True, infrastructure=True)


def growing(most: str = "512Mi", *, memory: float = 2.0, times: int | None = None, infrastructure: int = 0) -> Node:
    retry = RetryPolicy(infrastructure=infrastructure, jitter=0.0, grow=Growth(memory, most, times))
    return Node("a", "Job", "jobs:Job", options=Options(retry=retry))


def passed(node: Node, *verdicts: Verdict, crashes: bool = False) -> World:
    """As many attempts as there are verdicts, if the policy allows so many."""
    world = World(workflow(node), lambda name, index, attempt: (verdicts[attempt - 1], None))
    world.send(Begun())
    while world.live:
        world.end()
        if crashes:
            world.crash()
    return world


def asked(world: World) -> list[str | None]:
    return [each.memory for each in world.rows.executions.values()]


# -- one step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grow", "had", "next_"),
    [
        (Growth(2, "8Gi"), "64Mi/64Mi", "128Mi"),
        (Growth(2, "8Gi"), "128Mi/512Mi", "256Mi/1Gi"),
        (Growth(2, "600Mi"), "128Mi/512Mi", "256Mi/600Mi"),
        (Growth(4, "600Mi"), "256Mi/512Mi", "600Mi"),
        (Growth(1.5, "8Gi"), "1.5Gi", "2304Mi"),
        (Growth(1.5, "8Gi"), "100Mi", "150Mi"),
        (Growth(2, "3G"), "1G/2G", "1908Mi/3000000000"),
        (Growth(2, "512Mi"), "1Gi", "1Gi"),
        (Growth(2, "512Mi"), "512Mi/2Gi", "512Mi/2Gi"),
        (Growth(2, "8Gi"), "/64Mi", "/128Mi"),
    ],
)
def test_request_and_limit_grow_up_to_the_most(grow: Growth, had: str, next_: str) -> None:
    assert growth.grown(grow, had) == next_


@given(FACTORS, SIZES, SIZES, SIZES)
def test_memory_never_shrinks_and_never_passes_the_most(factor: float, most: str, one: str, other: str) -> None:
    grow, had = Growth(factor, most), "/".join(sorted((one, other), key=amount))
    last = had
    for _ in range(growth.steps(grow, had)):
        before, last = last, growth.grown(grow, last)
        assert limit(before) < limit(last) <= amount(most)
        assert amount(sides(before)[0]) <= amount(sides(last)[0]) <= limit(last)
    assert not growth.room(grow, last)
    assert limit(growth.grown(grow, last)) == limit(last)


@given(st.integers(0, 2**53))
def test_what_is_written_is_read_as_the_same(size: int) -> None:
    assert amount(written(size)) == size


# -- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crashes", [False, True])
def test_each_attempt_asks_for_more_until_one_succeeds(crashes: bool) -> None:
    world = passed(growing(), killed("64Mi/64Mi"), killed("128Mi/128Mi"), SUCCESS, crashes=crashes)
    assert world.statuses["a"] is NodeStatus.SUCCEEDED
    assert asked(world) == ["64Mi/64Mi", "128Mi/128Mi", "256Mi"]


@pytest.mark.parametrize("crashes", [False, True])
def test_one_that_is_killed_with_all_it_may_have_is_the_last(crashes: bool) -> None:
    deaths = [killed(size) for size in ("128Mi/128Mi", "256Mi/256Mi", "512Mi/512Mi")]
    world = passed(growing(infrastructure=9), *deaths, crashes=crashes)
    assert world.statuses["a"] is NodeStatus.FAILED and len(asked(world)) == 3


def test_a_number_of_times_ends_the_growth_sooner() -> None:
    world = passed(growing(times=1), killed("64Mi/64Mi"), killed("128Mi/128Mi"))
    assert world.statuses["a"] is NodeStatus.FAILED


@pytest.mark.parametrize("crashes", [False, True])
def test_what_has_grown_stays_when_something_else_ends_an_attempt(crashes: bool) -> None:
    world = passed(growing(infrastructure=1), killed("64Mi/64Mi"), EVICTED, SUCCESS, crashes=crashes)
    assert asked(world)[1:] == ["128Mi", "128Mi"]


def test_without_a_limit_it_is_tried_again_as_it_is_within_the_budget_of_the_machine() -> None:
    world = passed(growing(infrastructure=2), killed(None), killed(None), killed(None))
    assert world.statuses["a"] is NodeStatus.FAILED and asked(world) == [None] * 3


def test_without_growth_a_kill_leaves_what_the_next_attempt_asks_for_alone() -> None:
    node = Node("a", "Job", "jobs:Job", options=Options(retry=RetryPolicy(infrastructure=1, jitter=0.0)))
    world = World(workflow(node), lambda name, index, attempt: ((killed("64Mi/64Mi"), SUCCESS)[attempt - 1], None))
    world.send(Begun())
    world.end()
    world.crash()
    world.end()
    assert asked(world) == ["64Mi/64Mi", None]


@given(st.lists(st.tuples(st.booleans(), SIZES), max_size=30), FACTORS, SIZES, st.none() | st.integers(1, 5))
def test_attempts_are_never_without_end(deaths: list[tuple[bool, str]], factor: float, most: str, times: int | None) -> None:
    policy = RetryPolicy(times=2, infrastructure=3, grow=Growth(factor, most, times))
    failures, had, attempts = retries.NONE, None, 1
    for of_memory, size in deaths:
        cause = Cause.OOM if of_memory else Cause.EVICTED
        had = had or (size if of_memory else None)
        failures = retries.with_failure(failures, cause)
        if not retries.may_retry(policy, failures, cause, had):
            break
        had, attempts = retries.asks(policy, cause, had), attempts + 1
    steps = max((growth.steps(policy.grow, size) for _, size in deaths), default=0)  # type: ignore[arg-type]
    assert attempts <= 1 + 3 + (steps if times is None else times)


# -- what is said of it -----------------------------------------------------------------------------------------------

SAID = [
    (growing(), "64Mi/128Mi", "; the next attempt gets 256Mi"),
    (growing(), "64Mi/512Mi", "; that is all it may grow to (max='512Mi'), so it is not tried again"),
    (growing(times=1), "64Mi/128Mi", "; it has grown as often as it may (times=1)"),
    (growing(), None, "; there is no memory limit that could grow"),
]


@pytest.mark.parametrize(("node", "had", "words"), SAID)
def test_an_end_says_what_becomes_of_the_memory(node: Node, had: str | None, words: str) -> None:
    before = {Cause.OOM: 1} if node.options.retry.grow and node.options.retry.grow.times else retries.NONE
    found = retries.explained(node.options.retry, before, killed(had), None)
    assert found.message == f"killed: it used more memory than its limit{words}"


def test_where_the_cluster_does_not_tell_the_limit_what_was_asked_for_is_taken() -> None:
    found = retries.explained(growing().options.retry, retries.NONE, killed(None), "128Mi")
    assert found.memory == "128Mi" and str(found.message).endswith("gets 256Mi")


def test_another_end_and_another_policy_are_left_alone() -> None:
    assert retries.explained(growing().options.retry, retries.NONE, EVICTED, "128Mi") == EVICTED
    assert retries.explained(RetryPolicy(), retries.NONE, killed("1Gi"), None) == killed("1Gi")


def test_a_wait_says_how_many_steps_there_are() -> None:
    world = World(workflow(growing()), lambda *_: (killed("64Mi/64Mi"), None))
    world.send(Begun())
    world.end()
    assert why_not_running(world.state, "a", 0.0).startswith("retry 1 of 3")


# -- what the layers say besides --------------------------------------------------------------------------------------

LAYERS = [
    (Needs(), Needs(), "256Mi"),
    (Needs(memory="128Mi", cpu="1"), Needs(), "256Mi"),
    (Needs(memory="128Mi"), Needs(memory="/1Gi"), "128Mi/1Gi"),
    (Needs(memory="128Mi"), Needs(memory="/200Mi"), "256Mi"),
    (Needs(memory="128Mi"), Needs(unconstrained=True), None),
    (Needs(memory="128Mi"), Needs(memory="none"), "none"),
]


@pytest.mark.parametrize(("in_code", "configured", "memory"), LAYERS)
def test_growth_is_over_the_layers_unless_they_give_more_by_now(in_code: Needs, configured: Needs, memory: str | None) -> None:
    node = msgspec.structs.replace(growing(), options=Options(resources=in_code))
    shape = pods.asked(node, {node.job: configured}, "256Mi")
    assert shape and shape.resources and shape.resources.memory == memory
    assert shape.resources.cpu == (in_code.cpu if not configured.unconstrained else None)


def test_it_is_kept_with_the_run_as_written() -> None:
    grow = Grow(memory=1.5, max="1.5Gi", times=4)
    assert grow.growth == Growth(1.5, "1.5Gi", 4)
    assert Grow(max="8Gi").growth == Growth(2.0, "8Gi", None)

"""What counts against what: a job's own failures, the machine's doing, and causes with a budget of their own."""

from hypothesis import given
from hypothesis import strategies as st
from rules_world import EVICTED, FAILURE, FOR_GOOD, SUCCESS, World, node, run_to_the_end, workflow

from klassd.workflows.model.states import Cause, NodeStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.options import RETRYABLE, Options, RetryPolicy
from klassd.workflows.rules import retries
from klassd.workflows.rules.advance import Begun
from klassd.workflows.rules.lifecycle import PERMANENT, Verdict
from klassd.workflows.rules.reasons import why_not_running

CAUSES = st.sampled_from([None, *Cause])


def test_every_cause_that_another_attempt_may_mend_can_be_given_a_budget() -> None:
    assert set(RETRYABLE) == set(Cause) - PERMANENT


def test_an_eviction_does_not_use_up_a_retry_of_the_job_itself() -> None:
    assert _ends(node("a", retries=1, machine=2), EVICTED, EVICTED, FAILURE, SUCCESS) is NodeStatus.SUCCEEDED


def test_failures_of_the_job_itself_do_not_use_up_what_is_for_the_machine() -> None:
    assert _ends(node("a", retries=2, machine=1), FAILURE, FAILURE, EVICTED, SUCCESS) is NodeStatus.SUCCEEDED


def test_each_budget_ends() -> None:
    assert _ends(node("a", retries=5, machine=1), EVICTED, EVICTED) is NodeStatus.FAILED
    assert _ends(node("a", retries=1, machine=5), FAILURE, FAILURE) is NodeStatus.FAILED


def test_a_job_without_retries_is_not_tried_again_whatever_happened_to_it() -> None:
    assert _ends(node("a"), EVICTED) is NodeStatus.FAILED


def test_a_cause_with_a_budget_of_its_own_uses_no_other() -> None:
    policy = RetryPolicy(times=1, infrastructure=0, on={"evicted": 2})
    assert _ends(_node(policy), EVICTED, FAILURE, EVICTED, SUCCESS) is NodeStatus.SUCCEEDED
    assert _ends(_node(policy), EVICTED, EVICTED, EVICTED) is NodeStatus.FAILED


def test_a_cause_with_no_budget_is_not_tried_again() -> None:
    assert _ends(_node(RetryPolicy(times=3, on={"exception": 0})), FAILURE) is NodeStatus.FAILED


def test_what_no_retry_can_mend_is_not_tried_again() -> None:
    assert _ends(_node(RetryPolicy(times=3, on={"exception": 9})), FOR_GOOD) is NodeStatus.FAILED


def test_the_next_owner_knows_what_was_used_up() -> None:
    definition = workflow(node("a", retries=1, machine=1))
    world = World(definition, _script(FAILURE, EVICTED, FAILURE))
    world.send(Begun())
    for _ in range(2):
        world.end()
        world.crash()
    world.end()
    assert world.statuses["a"] is NodeStatus.FAILED


def test_a_wait_for_a_retry_is_counted_by_its_own_budget() -> None:
    world = World(workflow(node("a", retries=5, machine=2)), _script(FAILURE, EVICTED, SUCCESS))
    world.send(Begun())
    world.end()
    assert why_not_running(world.state, "a", 0.0).startswith("retry 1 of 5")
    world.end()
    assert why_not_running(world.state, "a", 0.0).startswith("retry 1 of 2")


@given(
    st.lists(CAUSES, max_size=12),
    st.dictionaries(st.sampled_from(RETRYABLE), st.integers(0, 4)),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_a_task_never_has_more_attempts_than_its_budgets_add_up_to(
    causes: list[Cause | None], on: dict[str, int], times: int, infrastructure: int
) -> None:
    policy = RetryPolicy(times=times, infrastructure=infrastructure, on=on)
    failures, attempts = retries.NONE, 1
    for cause in causes:
        failures = retries.with_failure(failures, cause)
        assert retries.latest(failures) is cause
        if not retries.may_retry(policy, failures, cause):
            break
        attempts += 1
    assert attempts <= 1 + times + infrastructure + sum(on.values())


def _node(policy: RetryPolicy) -> Node:
    return Node("a", "Job", "jobs:Job", options=Options(retry=policy))


def _script(*verdicts: Verdict):
    return lambda name, index, attempt: (verdicts[attempt - 1], None)


def _ends(of: Node, *verdicts: Verdict) -> NodeStatus:
    """What the node comes to, having used exactly these attempts."""
    asked = []

    def script(name: str, index: int, attempt: int):
        asked.append(attempt)
        return verdicts[attempt - 1], None

    world = run_to_the_end(workflow(of), script)
    assert max(asked) == len(verdicts)
    return world.statuses["a"]

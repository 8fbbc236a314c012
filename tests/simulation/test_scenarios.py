"""Scenarios of the fault catalogue, each alone: one kind of fault, at one place of the protocol, in a world without others."""

from __future__ import annotations

import pytest

from klassd.workflows.testing import simulate
from klassd.workflows.testing.simulation.faults import KINDS

SEEDS, STEPS = 8, 600


def show(fault: str, after: str, *, schedulers: int | None = None, claims: bool | None = None) -> None:
    """No promise is broken when ``fault`` strikes right after such an event, in any of some seeds; and it did strike."""
    struck = 0
    for seed in range(SEEDS):
        came = simulate(seed, steps=STEPS, schedulers=schedulers, without=KINDS, script={after: fault}, claims=claims)
        assert not came.violations, f"seed {seed}: {came.violations[0]}"
        struck += came.faults[fault]
    assert struck


def show_drawn(*kinds: str, rate: float = 10.0, schedulers: int | None = None, claims: bool | None = None) -> None:
    """The same of faults that are drawn, and often."""
    others = [kind for kind in KINDS if kind not in kinds]
    struck = 0
    for seed in range(SEEDS):
        came = simulate(
            seed, steps=STEPS, schedulers=schedulers, without=others, rates=dict.fromkeys(kinds, rate), claims=claims
        )
        assert not came.violations, f"seed {seed}: {came.violations[0]}"
        struck += came.faults.total()
    assert struck


@pytest.mark.fault("A1", "A2")
def test_an_enqueue_whose_answer_is_lost_is_one_run_when_it_is_asked_for_again() -> None:
    show_drawn("store.error_before", "store.error_after", "app.crash", rate=5.0)


@pytest.mark.fault("A3")
def test_what_was_enqueued_is_started_by_the_next_scheduler() -> None:
    show("scheduler.crash", "enqueue", schedulers=1)


@pytest.mark.fault("A4")
@pytest.mark.parametrize("schedulers", [1, 2])
def test_a_crash_between_the_record_of_a_launch_and_the_launch_starts_it_once(schedulers: int) -> None:
    show("scheduler.crash", "starting", schedulers=schedulers)


@pytest.mark.fault("A5")
@pytest.mark.parametrize("schedulers", [1, 2])
def test_a_crash_after_a_launch_that_nobody_heard_of_starts_nothing_twice(schedulers: int) -> None:
    show("scheduler.crash", "launch ", schedulers=schedulers)


@pytest.mark.fault("A6")
def test_a_crash_while_a_console_is_read_loses_and_repeats_no_line() -> None:
    show("scheduler.crash", "hears output")


@pytest.mark.fault("A7")
def test_an_end_that_nobody_was_there_to_hear_is_read_later() -> None:
    show("scheduler.crash", "is over", schedulers=1)


@pytest.mark.fault("A8", "A9")
def test_a_crash_after_an_end_was_stored_starts_what_depends_on_it_once() -> None:
    show("scheduler.crash", "succeeded")


@pytest.mark.fault("A11")
def test_a_crash_after_a_cancel_request_does_not_keep_it_from_coming_true() -> None:
    show("scheduler.crash", "request_cancel", schedulers=1)


@pytest.mark.fault("A14")
def test_schedulers_that_end_in_order_disturb_nothing() -> None:
    show("scheduler.close", "commit")


@pytest.mark.fault("A17")
@pytest.mark.parametrize("after", ["claim_runs  -> 0", "starting", "launch ", "hears", "renew"])
def test_a_scheduler_that_was_paused_writes_and_starts_nothing_stale(after: str) -> None:
    show("scheduler.pause", after, schedulers=2)


@pytest.mark.fault("B2")
def test_a_scheduler_cut_off_from_the_store_hands_over() -> None:
    show("store.partition", "commit", schedulers=2)


@pytest.mark.fault("B3")
def test_a_scheduler_cut_off_from_the_cluster_tells_no_false_failures() -> None:
    show("cluster.partition", "launch ", schedulers=2)


@pytest.mark.fault("B4", "B5")
def test_clocks_that_are_wrong_and_jump_change_no_outcome() -> None:
    show("clock.jump", "commit", schedulers=3)


@pytest.mark.fault("B6")
def test_leases_that_come_and_go_break_no_promise() -> None:
    show("lease.flap", "renew", schedulers=3)


@pytest.mark.fault("B7")
def test_a_log_that_is_cut_off_is_no_death() -> None:
    show_drawn("follow.cut", "follow.cut_unheard", "follow.stall", "node.partition")


@pytest.mark.fault("C1", "C4", "C5")
def test_a_store_that_fails_stalls_and_forgets_to_answer_is_asked_again() -> None:
    show_drawn("store.error_before", "store.error_after", "store.stall", rate=4.0)


@pytest.mark.fault("C7")
def test_hints_that_are_lost_cost_a_second_and_nothing_else() -> None:
    show_drawn("hint.lost", "hint.late", "hint.twice")


@pytest.mark.parametrize(
    ("kind", "after"),
    [("pod.evicted", "starts user code"), ("pod.oom", "says"), ("pod.deleted", "says"), ("pod.second", "starts user code")],
)
def test_what_befalls_a_pod_is_told_and_no_pod_runs_twice(kind: str, after: str) -> None:
    show(kind, after)


@pytest.mark.fault("E14")
@pytest.mark.parametrize("kind", ["node.partition", "node.dead"])
def test_no_attempt_starts_beside_one_on_a_lost_node_before_its_job_says_so(kind: str) -> None:
    show(kind, "says")


@pytest.mark.fault("E23")
@pytest.mark.parametrize("after", ["starts user code", "start_claim", "is over"])
def test_of_any_number_of_pods_one_gets_the_start(after: str) -> None:
    show("pod.second", after, claims=True)


@pytest.mark.fault("E23")
def test_claims_that_are_lost_or_late_cost_time_and_nothing_else() -> None:
    show_drawn("claim.error_before", "claim.error_after", "claim.stall", "launch.half", "pod.second", rate=5.0, claims=True)


@pytest.mark.parametrize("after", ["launch ", "start_claim"])
def test_a_crash_around_a_claim_leaves_its_pod_a_scheduler_to_ask(after: str) -> None:
    show("scheduler.crash", after, schedulers=1, claims=True)


@pytest.mark.parametrize("kind", ["quota", "log.rotated"])
def test_what_a_cluster_does_by_itself_breaks_no_promise(kind: str) -> None:
    show(kind, "says")

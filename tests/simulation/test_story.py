"""A violation is shrunk, and told so that a person can follow it."""

from __future__ import annotations

from mutants import MUTANTS

from klassd.workflows.testing import shrink, simulate


def test_a_seed_in_which_nothing_is_wrong_has_no_story() -> None:
    assert shrink(0, steps=100) is None


def _first_seed_that_breaks(rule: str) -> int:
    return next(seed for seed in range(500) if [each.rule for each in simulate(seed, steps=1000).violations] == [rule])


def test_a_double_start_is_told_in_at_most_forty_events_that_end_with_it() -> None:
    with MUTANTS["nobody_claims_a_start"]():
        shrunk = shrink(_first_seed_that_breaks("started once"), steps=1000, tries=30)
        assert shrunk is not None
        again = shrunk.course.run()
    whole = str(shrunk).splitlines()
    assert len(whole) <= 40
    assert "started once" in whole[-1]
    assert "RUN" in whole[-1]
    assert any("makes a second pod of RUN" in entry for entry in whole)
    assert len(shrunk.course.items or ()) < 10
    assert again.trace_hash == shrunk.simulated.trace_hash


def test_faults_that_are_left_out_do_not_happen() -> None:
    assert not simulate(3, steps=500, without=["scheduler.crash"]).faults["scheduler.crash"]
    assert simulate(3, steps=500, skip=range(10_000)).faults.total() == 0

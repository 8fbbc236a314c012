"""Seeds and scripts that once broke a promise, by what was wrong. They stay green."""

from __future__ import annotations

import pytest

from klassd.workflows.testing import simulate

SEEDS = {
    "a run was forgotten whose claim had no answer": 46,
    "a paused scheduler launched what another had finished": 89,
    "a job that started late was told as stopped on request": 1,
    "half a line was glued to the next one": 485,
    "a keeper that heard late of its loss took its successor with it": 738,
    "the world was left without a scheduler": 619,
    "a renewal arrived after the release of its lease": 640,
}


@pytest.mark.parametrize("what", SEEDS)
def test_what_was_wrong_stays_right(what: str) -> None:
    assert not simulate(SEEDS[what], claims=False).violations  # they are from before pods claimed their start


def test_a_scheduler_that_ends_by_itself_while_all_are_closed_holds_nobody_up() -> None:
    assert not simulate(3529, steps=60, claims=False).violations


def test_nobody_takes_the_place_of_a_crashed_scheduler_once_all_are_to_end() -> None:
    assert not simulate(11426, steps=60, claims=False).violations


def test_a_scheduler_that_is_ending_is_not_ended_twice() -> None:
    assert not simulate(54435, steps=60).violations


def test_the_rest_of_what_a_service_has_said_is_read_though_it_has_nothing_to_add() -> None:
    assert not simulate(111, steps=1000).violations

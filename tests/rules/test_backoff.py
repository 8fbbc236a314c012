"""The wait between two attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.options import RetryPolicy
from klassd.workflows.rules.backoff import delay

PLAIN = RetryPolicy(times=9, first=1.0, most=300.0, factor=2.0, jitter=0.0)


def test_it_doubles_up_to_the_most() -> None:
    assert [delay(PLAIN, attempt, "") for attempt in (1, 2, 3, 9, 10, 11)] == [1, 2, 4, 256, 300, 300]


def test_an_attempt_beyond_all_numbers_waits_the_most() -> None:
    assert delay(PLAIN, 100_000, "") == 300.0


def test_a_factor_of_one_waits_the_same_each_time() -> None:
    policy = RetryPolicy(first=5.0, factor=1.0, jitter=0.0)
    assert {delay(policy, attempt, "") for attempt in range(1, 50)} == {5.0}


@given(
    st.floats(0, 1000), st.floats(0, 1000), st.floats(0.5, 10), st.floats(0, 1), st.integers(1, 2000), st.text()
)  # fmt: skip
def test_it_is_never_negative_never_above_the_most_and_always_the_same(
    first: float, most: float, factor: float, jitter: float, attempt: int, seed: str
) -> None:
    policy = RetryPolicy(first=first, most=most, factor=factor, jitter=jitter)
    wait = delay(policy, attempt, seed)
    assert 0 <= wait <= most
    assert delay(policy, attempt, seed) == wait


def test_the_jitter_spreads_a_thousand_failures_evenly_around_the_wait() -> None:
    policy = RetryPolicy(first=100.0, jitter=0.1)
    waits = [delay(policy, 1, f"run-{number}") for number in range(1000)]
    assert 90 <= min(waits) < 91 and 109 < max(waits) <= 110
    assert sum(waits) / 1000 == pytest.approx(100, abs=1)

"""A simulation that finds nothing proves nothing: it has to find every fault that is planted."""

from __future__ import annotations

import pytest
from mutants import MUTANTS

from klassd.workflows.testing import simulate

SEEDS = 500


def killed_by(name: str) -> int | None:
    """The first seed in whose course of events the mutant breaks a promise."""
    with MUTANTS[name]():
        return next((seed for seed in range(SEEDS) if simulate(seed, steps=1000).violations), None)


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 25


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str) -> None:
    assert killed_by(name) is not None, f"{name} survives {SEEDS} seeds"

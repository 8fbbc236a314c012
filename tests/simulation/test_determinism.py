"""The same seed is the same course of events, entry by entry."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from klassd.workflows.testing import simulate

HASH = "from klassd.workflows.testing import simulate; print(simulate(7, steps=1000).trace_hash)"


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, second = simulate(seed, steps=1000), simulate(seed, steps=1000)
    assert first.trace == second.trace
    assert first.trace_hash == second.trace_hash
    assert first.faults == second.faults


def test_another_seed_gives_another_trace() -> None:
    assert simulate(1, steps=100).trace_hash != simulate(2, steps=100).trace_hash


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_the_trace_is_the_same_in_a_process_that_hashes_otherwise(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", HASH], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == simulate(7, steps=1000).trace_hash

"""Many seeds: no promise is broken, and every kind of fault has struck."""

from __future__ import annotations

import pytest

from klassd.workflows.testing import batch

CHUNKS, SEEDS = 40, 50  # 2,000 seeds in all


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.fault("B1", "B6")
def test_no_seed_breaks_a_promise_and_every_kind_of_fault_strikes(chunk: int) -> None:
    came = batch(range(chunk * SEEDS, (chunk + 1) * SEEDS), processes=1)
    assert came.good, str(came)
    assert came.fewest >= 2000

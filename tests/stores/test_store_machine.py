"""The machine that tries stores against a model: what it cannot read, it makes certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from klassd.workflows.testing.store_checks.machine import StoreMachine
from klassd.workflows.testing.store_checks.modelled import Claim, Enqueue, Release, Renew
from proof.machines import InMemory


@pytest.mark.parametrize("last", ["renew", "release"])
def test_a_lease_is_certain_again_after_two_calls_that_answer_the_same_whoever_was_first(tmp_path: Path, last: str) -> None:
    """The store is asked in one order, and nothing but a claim later on would show which it was."""
    machine = StoreMachine(InMemory(tmp_path))
    try:
        calls = [Renew("one"), Release("one")] if last == "release" else [Release("one"), Renew("one")]
        renewed, released = machine._model.copy(), machine._model.copy()
        renewed.leases["one"] = True
        for call in calls:
            machine.once(call)
        machine._model = machine._settled([released, renewed])
        machine.once(Enqueue("x", "a", 0, 0.0, [None]))
        machine.once(Claim("one", 1, None))  # an answer that the model does not expect would fail
        assert [each.run.owner for each in machine._model.runs.values()] == ["one"]
    finally:
        machine.teardown()

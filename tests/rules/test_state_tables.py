"""The state machines: every state and event named, final states absorb, and no move but those in the tables."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.rules import lifecycle
from klassd.workflows.rules.lifecycle import TABLES, IllegalMove, TaskStatus

MACHINES: dict[str, tuple[type[StrEnum], Any]] = {
    "execution": (ExecutionStatus, lifecycle.step),
    "task": (TaskStatus, lifecycle.step_task),
    "node": (NodeStatus, lifecycle.step_node),
    "run": (RunStatus, lifecycle.step_run),
}
FINAL = {"succeeded", "failed", "stopped", "cancelled", "skipped", "omitted"}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_has_a_row_and_final_states_absorb(machine: str) -> None:
    states, _ = MACHINES[machine]
    assert set(TABLES[machine]) == set(states)
    for state, moves in TABLES[machine].items():
        assert (not moves) == (str(state) in FINAL), state


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached_and_from_every_state_an_end(machine: str) -> None:
    table = TABLES[machine]
    reached = {next(iter(table))}
    for _ in table:
        reached |= {after for state in reached for after in table[state].values()}
    assert reached == set(table)
    assert all(moves == {} or any(str(after) in FINAL or table[after] for after in moves.values()) for moves in table.values())


@pytest.mark.parametrize("machine", MACHINES)
def test_a_move_is_in_the_table_or_raises_naming_state_and_event(machine: str) -> None:
    states, step = MACHINES[machine]
    events = {event for moves in TABLES[machine].values() for event in moves} | {"unheard-of"}
    for state, event in product(states, sorted(events)):
        if event in TABLES[machine][state]:
            assert step(state, event) is TABLES[machine][state][event]
        else:
            with pytest.raises(IllegalMove, match=rf"{machine} is {state}: '{event}' is not possible") as caught:
                step(state, event)
            assert (caught.value.status, caught.value.event) == (state, event)


@pytest.mark.parametrize(
    ("events", "end"),
    [
        (("start", "started", "succeeded"), ExecutionStatus.SUCCEEDED),
        (("start", "started", "stop", "stopped"), ExecutionStatus.STOPPED),
        (("start", "stop", "started", "stop", "succeeded"), ExecutionStatus.SUCCEEDED),  # its success was recorded first
        (("start", "failed"), ExecutionStatus.FAILED),
        (("start", "started", "started", "failed"), ExecutionStatus.FAILED),
        (("stop",), ExecutionStatus.STOPPED),
    ],
)
def test_the_lives_of_an_execution(events: tuple[str, ...], end: ExecutionStatus) -> None:
    status = ExecutionStatus.QUEUED
    for event in events:
        status = lifecycle.step(status, event)
    assert status is end


def test_an_execution_that_never_started_cannot_succeed() -> None:
    with pytest.raises(IllegalMove, match="an execution is queued: 'succeeded' is not possible, expected start, stop, stopped"):
        lifecycle.step(ExecutionStatus.QUEUED, "succeeded")

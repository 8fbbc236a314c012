"""What an execution spent its time with: steps without holes, whatever the clocks say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import Execution, Run
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.rules.timeline import Step, begun_late, timeline

T = 1_800_000_000.25
TIMES = st.one_of(st.none(), st.floats(T - 100, T + 100), st.integers(int(T) - 100, int(T) + 100).map(float))
PHASES = st.builds(Phases, **dict.fromkeys(Phases.__struct_fields__, TIMES))


def execution(status: str = "succeeded", phases: Phases | None = None, **fields: object) -> Execution:
    said = {"created_at": T, "launched_at": T + 1, "started_at": T + 2, "finished_at": T + 9, **fields}
    return Execution(id="r-0-0-1", run_id="r", node="n", status=ExecutionStatus(status), phases=phases or Phases(), **said)  # type: ignore[arg-type]


def steps(of: Execution) -> list[tuple[str, float]]:
    return [(step.name, round(step.seconds(T + 100), 3)) for step in timeline(of)]


@given(
    phases=PHASES, launched_at=TIMES, started_at=TIMES, finished_at=TIMES, not_before=st.floats(0, T + 10),
    status=st.sampled_from(list(ExecutionStatus)), since=TIMES,
)  # fmt: skip
def test_steps_follow_each_other_without_a_hole_and_never_go_back(
    phases: Phases, launched_at: float | None, started_at: float | None, finished_at: float | None, not_before: float,
    status: ExecutionStatus, since: float | None,
) -> None:  # fmt: skip
    of = execution(status.value, phases, launched_at=launched_at, started_at=started_at, finished_at=finished_at,
                   not_before=not_before)  # fmt: skip
    found = timeline(of, since)
    assert found and found[0].begin == (T if since is None else min(T, since))
    assert all(step.end is not None for step in found[:-1])
    assert all(earlier.end == later.begin for earlier, later in pairwise(found))
    assert all(step.end is None or step.end >= step.begin for step in found)
    assert (found[-1].end is None) == (finished_at is None)
    assert len({step.name for step in found}) == len(found)


def test_a_forked_job_waits_starts_and_runs() -> None:
    phases = Phases(first_line=T + 3, returned=T + 8)
    assert steps(execution(phases=phases)) == [("queue", 1.0), ("start", 1.0), ("run", 6.0), ("outputs", 1.0)]
    assert steps(execution("failed", phases))[-1] == ("end", 1.0)


def test_a_pod_has_all_of_them() -> None:
    phases = Phases(
        scheduled=T + 1.5, initialized=T + 2, pulled=T + 3, container=4.0, process=T + 3.5, imported=T + 5, returned=T + 8
    )
    assert steps(execution(phases=phases, started_at=T + 4)) == [
        ("queue", 1.0), ("schedule", 0.5), ("init", 0.5), ("pull", 1.0), ("start", 0.5), ("boot", 0.5), ("import", 1.0),
        ("run", 3.0), ("outputs", 1.0),
    ]  # fmt: skip


def test_what_kubernetes_tells_to_the_second_is_marked_as_vague() -> None:
    begun = int(T) + 1.9
    found = timeline(execution(phases=Phases(scheduled=float(int(T) + 1)), launched_at=begun, started_at=begun + 2))
    assert [(step.name, step.vague) for step in found] == [
        ("queue", False), ("schedule", True), ("start", True), ("run", False),
    ]  # fmt: skip
    assert found[1].begin == found[1].end == begun  # cut off, it would have been before its launch


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"launched_at": None, "started_at": None}, "queue"),
        ({"started_at": None}, "start"),
        ({"started_at": None, "located": {"pod": "p"}}, "schedule"),
        ({"started_at": None, "located": {"pod": "p"}, "phases": Phases(scheduled=T + 1)}, "start"),
        ({"started_at": None, "phases": Phases(container=T + 1)}, "boot"),
        ({}, "run"),
        ({"phases": Phases(returned=T + 3)}, "outputs"),
    ],
)
def test_the_step_that_lasts_or_in_which_it_ended_is_the_last(fields: dict[str, object], last: str) -> None:
    assert timeline(execution("running", finished_at=None, **fields))[-1].name == last  # type: ignore[arg-type]
    ended = timeline(execution("failed", finished_at=T + 9, **fields))[-1]  # type: ignore[arg-type]
    assert ended.name == ("end" if last == "outputs" else last) and ended.end == T + 9


def test_a_retry_tells_its_backoff_apart_from_its_wait_for_a_slot() -> None:
    of = execution(not_before=T + 5, launched_at=T + 6, started_at=T + 6, finished_at=T + 7)
    assert steps(of)[:2] == [("backoff", 5.0), ("queue", 1.0)]


def test_a_job_waits_from_its_enqueueing_on_a_node_from_when_it_could_begin() -> None:
    job, flow = (
        Run(id="r", name="j", kind="job", definition="d", created_at=T - 3),
        Run(id="r", name="f", kind="workflow", definition="d"),
    )
    assert timeline(execution(), begun_late(job, execution()))[0] == Step(name="queue", begin=T - 3, end=T + 1)
    assert begun_late(flow, execution()) is None and begun_late(job, execution(attempt=2)) is None

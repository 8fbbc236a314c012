"""Nothing of a job lives on: daemons, escaped grandchildren, orphans of a dead supervisor (D1, D2, D4, D5)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest
from worker_help import PATIENCE, Runner, Template, alive, order, until


@pytest.mark.fault("D4", "D5")
@pytest.mark.parametrize("how", ["holds stdout", "own session", "double fork"])
def test_what_a_job_leaves_behind_is_killed_and_told(shared: Template, runner: Runner, how: str) -> None:
    for said in (shared.run("Forks", inputs={"how": how}), runner.run("Forks", inputs={"how": how}, code=0)):
        assert said.end.result == "success"
        assert not alive(said.value), how
        assert any("1 process" in warning and "killed" in warning for warning in said.end.warnings), said.end
        assert said.end.finished_at - said.end.started_at < 2.0


def test_a_tidy_job_is_not_searched_for_what_it_left(shared: Template) -> None:
    said = shared.run("ForkedPrints")
    assert said.end.warnings == ()


@pytest.mark.fault("D4")
@pytest.mark.parametrize("how", ["kill", "_exit"])
def test_what_a_killed_job_leaves_behind_is_killed_too(shared: Template, how: str) -> None:
    said = shared.run("LeavesAndEnds", inputs={"how": how})
    assert said.end.result == "none" and not alive(int(said.texts[0]))
    assert len(said.end.warnings) == 1


@pytest.mark.fault("D4")
def test_a_stray_that_prints_without_end_does_not_hold_up_the_outcome(shared: Template) -> None:
    said = shared.run("LeavesAFlood")
    assert said.value and not alive(said.value)
    assert said.end.finished_at - said.end.started_at < 5.0


def test_strays_of_one_job_are_told_from_jobs_under_way(shared: Template) -> None:
    other = shared.launch("Stops")
    pid = shared.spool.until_said(other, "ready").bodies("start")[0]["pid"]
    said = shared.run("Forks", inputs={"how": "double fork"})
    assert not alive(said.value) and alive(pid)
    shared.stop(other)
    shared.link.wait("ended", id=other)
    assert shared.spool.read(other).end.requested == "stop"


@pytest.mark.fault("D1")
def test_a_killed_worker_is_told_within_a_second(shared: Template) -> None:
    execution_id = shared.launch("Stops")
    pid = shared.spool.until_said(execution_id, "ready").bodies("start")[0]["pid"]
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    shared.link.wait("ended", id=execution_id)
    assert time.monotonic() - begun < 1.0
    assert shared.spool.read(execution_id).end.signal == 9


@pytest.mark.fault("D2")
def test_a_job_dies_with_its_supervisor(runner: Runner) -> None:
    wanted = order("Stops", inputs={"how": "ignore"})
    process = runner.start(wanted)
    pid = runner.spool.until_said(wanted.execution_id, "ready").bodies("start")[0]["pid"]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    until(lambda: not alive(pid), "the death of the job")
    assert "end" not in runner.spool.read(wanted.execution_id).kinds


@pytest.mark.fault("D2")
def test_all_jobs_die_with_their_template(make_template: object) -> None:
    template: Template = make_template()  # type: ignore[operator]
    ids = [template.launch("Stops", inputs={"how": "ignore"}) for _ in range(3)]
    pids = [template.spool.until_said(each, "ready").bodies("start")[0]["pid"] for each in ids]
    template.process.send_signal(signal.SIGKILL)
    template.process.wait()
    until(lambda: not any(map(alive, pids)), "the death of all jobs")


@pytest.mark.fault("D19")
def test_no_process_and_no_descriptor_is_left_after_hundreds_of_jobs(make_template: object) -> None:
    template: Template = make_template()  # type: ignore[operator]
    template.run("Add", inputs={"a": 1})
    family = [template.process.pid, *children(template.process.pid)]
    before = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in family}
    ids = [template.launch("Add", inputs={"a": number}) for number in range(300)]
    for execution_id in ids:
        template.link.wait("ended", id=execution_id)
    assert {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in family} == before
    assert [pid for parent in family for pid in children(parent)] == family[1:]


def children(parent: int) -> list[int]:
    """Zombies too."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(name))
        except OSError:
            continue
    return found


def test_a_process_that_is_just_being_made_is_not_taken_for_what_a_killed_job_left_behind(tmp_path: Path) -> None:
    """The supervisor hears of the death after its forker has made the next ones, and before it is told their names."""
    template = Template(tmp_path)
    try:
        killed = template.launch("Stops")
        pid = template.spool.until_said(killed, "ready").bodies("start")[0]["pid"]
        (forker,) = children(template.process.pid)
        os.kill(forker, signal.SIGSTOP)
        wanted = [order("Stops") for _ in range(3)]
        for each in wanted:
            template.link.send(op="launch", order=msgspec.to_builtins(each))
        until((tmp_path / "spool" / f"{wanted[-1].execution_id}.log").exists, "the orders at the forker")
        template.process.send_signal(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        os.kill(forker, signal.SIGCONT)
        until(lambda: len([each for each in children(forker) if alive(each) and each != pid]) >= 2, "the next processes")
        template.process.send_signal(signal.SIGCONT)
        template.link.wait("ended", id=killed)
        for each in wanted:
            template.spool.until_said(each.execution_id, "ready")
            template.stop(each.execution_id)
        ends = [template.spool.until_ended(each.execution_id).end for each in wanted]
        assert [(end.requested, end.signal) for end in ends] == [("stop", None)] * 3
        assert template.spool.read(killed).end.signal == signal.SIGKILL
    finally:
        template.close()

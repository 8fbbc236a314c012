"""Stop requests and deadlines: in order first, by force after the grace (D6, D22)."""

from __future__ import annotations

import signal
import time

import pytest
from worker_help import PATIENCE, Runner, Said, Template, alive, order


def stop_when_ready(template: Template, job: str, grace: float = 10.0, **inputs: str) -> Said:
    execution_id = template.launch(job, inputs=inputs)
    template.spool.until_said(execution_id, "ready")
    template.stop(execution_id, grace)
    template.link.wait("ended", id=execution_id)
    return template.spool.read(execution_id)


@pytest.mark.parametrize("job", ["Stops", "StopsAwaiting"])
def test_a_job_that_obeys_ends_at_once_and_is_told_why(shared: Template, job: str) -> None:
    said = stop_when_ready(shared, job)
    assert said.texts == ["cancelled: True"]
    assert (said.end.result, said.end.requested, said.end.killed, said.end.signal) == ("none", "stop", False, None)
    assert said.end.finished_at - said.end.started_at < 5.0


@pytest.mark.parametrize("job", ["Stops", "StopsAwaiting"])
def test_a_job_that_returns_although_it_was_stopped_has_a_result_after_the_request(shared: Template, job: str) -> None:
    end = stop_when_ready(shared, job, how="return").end
    assert (end.result, end.requested, end.exit_code) == ("success", "stop", 0)


def test_a_job_that_fails_while_it_stops_says_so(shared: Template) -> None:
    said = stop_when_ready(shared, "StopsAwaiting", how="fail")
    assert (said.end.result, said.end.requested) == ("failure", "stop") and said.error.message == "while it stopped"


@pytest.mark.fault("D6")
def test_a_job_that_ignores_the_request_is_killed_after_its_grace(shared: Template) -> None:
    end = stop_when_ready(shared, "Stops", grace=0.1, how="ignore").end
    assert (end.result, end.requested, end.killed, end.signal) == ("none", "stop", True, 9)


def test_a_second_request_may_shorten_the_grace(shared: Template) -> None:
    execution_id = shared.launch("Stops", inputs={"how": "ignore"})
    shared.spool.until_said(execution_id, "ready")
    shared.stop(execution_id, 100.0)
    shared.stop(execution_id, 0.05)
    shared.link.wait("ended", id=execution_id)
    assert shared.spool.read(execution_id).end.killed


def test_a_request_right_after_the_launch_is_heard(shared: Template) -> None:
    for _ in range(20):
        execution_id = shared.launch("Stops")
        shared.stop(execution_id, 100.0)
        shared.link.wait("ended", id=execution_id)
        end = shared.spool.read(execution_id).end
        assert (end.result, end.requested, end.killed) == ("none", "stop", False)


def test_a_request_for_something_unknown_is_ignored(shared: Template) -> None:
    shared.stop("no such execution")
    assert shared.run("Add", inputs={"a": 1}).value == 2


@pytest.mark.fault("D22")
def test_a_deadline_holds_against_code_that_keeps_the_interpreter(shared: Template) -> None:
    begun = time.monotonic()
    end = shared.run(order("HoldsGil", timeout=0.3, grace=0.2)).end
    assert (end.result, end.requested, end.killed, end.signal) == ("none", "deadline", True, 9)
    assert 0.5 <= time.monotonic() - begun < 5.0


@pytest.mark.parametrize("job", ["Stops", "StopsAwaiting"])
def test_a_deadline_stops_in_order_first(shared: Template, job: str) -> None:
    said = shared.run(order(job, timeout=0.3))
    assert (said.end.requested, said.end.killed) == ("deadline", False) and said.texts == ["cancelled: True"]


def test_a_process_of_its_own_passes_sigterm_on(runner: Runner) -> None:
    wanted = order("Stops")
    process = runner.start(wanted)
    runner.spool.until_said(wanted.execution_id, "ready")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    end = runner.spool.read(wanted.execution_id).end
    assert (end.result, end.requested, process.returncode) == ("none", "stop", 1)


def test_sigterm_from_elsewhere_is_an_exit_and_no_wish_of_ours(shared: Template) -> None:
    execution_id = shared.launch("Stops")
    started = shared.spool.until_said(execution_id, "ready").bodies("start")[0]
    assert alive(started["pid"])
    import os

    os.kill(started["pid"], signal.SIGTERM)
    shared.link.wait("ended", id=execution_id)
    end = shared.spool.read(execution_id).end
    assert (end.result, end.requested, end.exit_code) == ("none", None, 143)

"""A scheduler killed between any two of its steps with a pod: another one goes on, and the pod ran once."""

from __future__ import annotations

import signal

import cluster_jobs
import pytest
from cluster_runs import Runs

from klassd.workflows.client import RunView
from klassd.workflows.model.logs import LogLine

# The step, and what of the catalogue it shows.
STEPS = {
    "before:launch": "A4",
    "after:launch": "A5",
    "before:follow": "A5",
    "after:heard": "A6",
    "before:commit.outcome": "A7",
    "after:commit.final": "A9",
}


def marked(steps: dict[str, str]) -> list[object]:
    return [pytest.param(step, marks=pytest.mark.fault(fault)) for step, fault in steps.items()]


@pytest.mark.parametrize("step", marked(STEPS))
def test_a_scheduler_killed_at_a_step_costs_no_pod_and_no_line(runs: Runs, step: str) -> None:
    run_id = runs.enqueue(cluster_jobs.Talkative(number=1, lines=50, seconds=1.0))
    assert runs.start(KLASSD_CRASH_AT=step).wait(60) == -signal.SIGKILL
    runs.start()
    view = runs.finished(run_id)
    assert view.run.status == "succeeded", view.run.error
    assert [line.text for line in lines(runs, view)] == [f"1: line {number}" for number in range(50)]
    _one_pod_reaped(runs, view)


@pytest.mark.fault("E12")
@pytest.mark.parametrize("step", marked({"before:stop": "A11", "after:stop": "A11"}))
def test_a_scheduler_killed_at_a_stop_leaves_nothing_running(runs: Runs, step: str) -> None:
    scheduler = runs.start(KLASSD_CRASH_AT=step)
    run_id = runs.enqueue(cluster_jobs.Sleeper())
    runs.until(run_id, lambda view: view.nodes[0].executions and view.nodes[0].executions[0].status == "running")
    runs.ask(lambda client: client.cancel(run_id))
    assert scheduler.wait(60) == -signal.SIGKILL
    runs.start()
    view = runs.finished(run_id)
    assert view.run.status == "cancelled"
    said, last = lines(runs, view)
    assert said.text == "sleeping"
    assert last.text == "woken" or last.missing == 1  # Kubernetes removes a pod that it ended, with what nobody had read of it
    _one_pod_reaped(runs, view)


def lines(runs: Runs, view: RunView) -> list[LogLine]:
    (execution,) = view.nodes[0].executions
    found: list[LogLine] = runs.ask(lambda client: client.log(execution.id))
    return found


def _one_pod_reaped(runs: Runs, view: RunView) -> None:
    (execution,) = view.nodes[0].executions
    assert execution.attempt == 1 and len(runs.cluster.pods(execution.id)) == 1
    runs.cluster.until(lambda: "ttlSecondsAfterFinished" in runs.cluster.jobs(execution.id)[0]["spec"], "a time to live")

"""A program of the cluster is killed while pods run: it costs time, no pod and no line.

    KLASSD_TEST_CLUSTER_RUN=DIR python -m pytest tests/kubernetes/test_cluster_restarts.py

``DIR``: see ``cluster_parts``; besides what the tests of a cluster need. Others must not run beside these.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cluster_jobs
import httpx2
import pytest
from cluster_help import Cluster
from cluster_parts import Part
from cluster_runs import Runs
from test_cluster_kills import every_console_is_whole, every_pod_ran_once
from witness import witness

from klassd.workflows.client import RunView
from klassd.workflows.model.run import Execution

PODS = 10
DOWN = 3.0  # seconds


alone = pytest.mark.skipif(
    "KLASSD_TEST_CLUSTER_RUN" not in os.environ, reason="takes a cluster down that must be nobody else's"
)


@alone
@pytest.mark.parametrize(("name", "begun"), [("apiserver", 1), ("kubelet", PODS)])
def test_a_program_of_the_cluster_that_dies_and_comes_back_costs_no_pod_and_no_line(
    runs: Runs, cluster: Cluster, name: str, begun: int
) -> None:
    """A container that is being started when its kubelet dies fails by that (StartError: containerd gives its start up), so
    there all of them have begun."""
    part = part_of_it(name)
    with witness(cluster.here) as pods:
        runs.start()
        run_id = runs.enqueue(cluster_jobs.witnessed(PODS, pods.url))
        runs.until(run_id, lambda _: sum(line.startswith("begun") for line in list(pods.said)) >= begun)
        part.kill()
        time.sleep(DOWN)
        part.start()
        cluster.until(lambda: answers(cluster), "an answer of the API")
        view = runs.finished(run_id)
    assert view.run.status == "succeeded", view.run.error
    items = next(node for node in view.nodes if node.name == "item")
    assert len(items.executions) == PODS
    every_pod_ran_once(items, pods.said, cluster)
    every_console_is_whole(items, runs)


@alone
def test_a_node_that_falls_silent_is_told_as_unknown_and_what_runs_there_goes_on(runs: Runs, cluster: Cluster) -> None:
    """Its kubelet is gone for as long as the cluster takes to notice, some 40 s; its containers know nothing of that."""
    runs.start()
    run_id = runs.enqueue(cluster_jobs.Sleeper())
    runs.until(run_id, lambda view: console(runs, view) == ["sleeping"])
    part = part_of_it("kubelet")
    part.kill()
    try:
        view = runs.until(run_id, lambda view: "is unknown: its node" in str(only(view).waiting))
        assert (view.run.status, only(view).status) == ("running", "running")
        assert "is unknown: its node" in runs.klassd("show", run_id)
    finally:
        part.start()
    runs.until(run_id, lambda view: only(view).waiting is None)
    runs.ask(lambda client: client.cancel(run_id))
    view = runs.finished(run_id)
    assert (view.run.status, only(view).attempt, console(runs, view)) == ("cancelled", 1, ["sleeping", "woken"])


def part_of_it(name: str) -> Part:
    return Part(Path(os.environ["KLASSD_TEST_CLUSTER_RUN"]), name)


def only(view: RunView) -> Execution:
    (execution,) = view.nodes[0].executions
    return execution


def console(runs: Runs, view: RunView) -> list[str]:
    executions = view.nodes[0].executions
    return [line.text for line in runs.ask(lambda client: client.log(executions[0].id))] if executions else []


def answers(cluster: Cluster) -> bool:
    try:
        return cluster.get("/api/v1/namespaces/{}") is not None
    except httpx2.TransportError:
        return False


def test_a_program_is_started_again_as_it_was(tmp_path: Path) -> None:
    for directory in ("run", "log"):
        (tmp_path / directory).mkdir()
    code = "import os, signal, sys; print(os.getcwd(), os.environ['WORD'], sys.argv[1:], flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "a b"], cwd=tmp_path, env={"WORD": "w=1"}, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout and (said := first.stdout.readline())
        (tmp_path / "run" / "it.pid").write_text(str(first.pid))
        part = Part(tmp_path, "it")
        part.kill()
    part.start()
    log = tmp_path / "log" / "it.log"
    end = time.monotonic() + 20
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.02)
    part.kill()
    assert log.read_text() == said

"""Whole runs on a real cluster, by schedulers that are processes of their own and may be killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import cluster_jobs
import pytest
from cluster_help import Cluster

from klassd.workflows.client import Client, RunView
from klassd.workflows.composition import make_client, make_store

HERE = Path(__file__).parent
PATIENCE = 120.0  # seconds for a run

SCHEDULER = """
import asyncio
from cluster_jobs import app

async def main():
    async with app.scheduler():
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Runs:
    """A store, and schedulers on it that work with the cluster."""

    def __init__(self, cluster: Cluster, path: Path) -> None:
        self.store = f"sqlite:///{path}/klassd.db"
        self._schedulers: list[subprocess.Popen[bytes]] = []
        self._env = {name: text for name, text in os.environ.items() if not name.startswith("KLASSD_")} | {
            "PYTHONPATH": str(HERE),
            "KLASSD_STORE": self.store,
            "KLASSD_STATE": str(path),
            "KLASSD_EXECUTOR": "kubernetes",
            "KLASSD_IMAGE": cluster.image,
            "KLASSD_NAMESPACE": cluster.namespace,
            "KLASSD_KUBERNETES_KUBECONFIG": cluster.kubeconfig,
            "KLASSD_LEASE": "2",
        }

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", SCHEDULER], env=self._env, stdout=subprocess.PIPE)
        self._schedulers.append(process)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()

    def close(self) -> None:
        for process in self._schedulers:
            self.kill(process)

    def ask(self, question: Callable[[Client], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with make_client(make_store(self.store)) as client:
                return await question(client)

        return asyncio.run(main())

    def klassd(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "klassd.workflows.cli", *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def enqueue(self, what: Any) -> str:
        return str(self.ask(lambda client: client.enqueue(what)))

    def finished(self, run_id: str) -> RunView:
        return self.until(run_id, lambda view: view.run.status.final)

    def until(self, run_id: str, holds: Callable[[RunView], object]) -> RunView:
        end = time.monotonic() + PATIENCE
        while not holds(view := self.ask(lambda client: client.view(run_id))):
            assert time.monotonic() < end, f"waited {PATIENCE:g} s; the run is {view.run.status}"
            time.sleep(0.2)
        found: RunView = view
        return found


@pytest.fixture
def runs(cluster: Cluster, tmp_path: Path) -> Iterator[Runs]:
    found = Runs(cluster, tmp_path)
    yield found
    found.close()


def test_a_workflow_with_a_retry_and_an_omitted_node_succeeds(runs: Runs) -> None:
    runs.start()
    view = runs.finished(runs.enqueue(cluster_jobs.everything()))
    nodes = {node.name: node for node in view.nodes}
    assert view.run.status == "succeeded", view.run.error
    assert view.run.output == 2  # two pods
    assert nodes["lucky"].attempts == 2 and nodes["rescue"].status == "omitted"


@pytest.mark.fault("E17")
def test_a_pod_killed_for_its_memory_is_followed_by_larger_ones(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    view = runs.finished(run_id := runs.enqueue(cluster_jobs.Growing()))
    assert view.run.status == "succeeded", view.run.error
    attempts = view.nodes[0].executions
    assert [each.cause for each in attempts] == ["oom", "oom", None]
    given = [cluster.pods(each.id)[0]["spec"]["containers"][0]["resources"] for each in attempts]
    assert [each["limits"]["memory"] for each in given] == ["64Mi", "128Mi", "256Mi"]
    assert given[2]["requests"]["memory"] == "256Mi"
    shown = runs.klassd("show", run_id)
    assert "its limit of 64Mi; the next attempt gets 128Mi" in shown and "memory 256Mi" in shown


@pytest.mark.fault("E31")
def test_cancelling_a_run_stops_its_pod(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    run_id = runs.enqueue(cluster_jobs.Sleeper())
    view = runs.until(run_id, lambda view: view.nodes[0].executions and view.nodes[0].executions[0].status == "running")
    runs.ask(lambda client: client.cancel(run_id))
    assert runs.finished(run_id).run.status == "cancelled"
    (execution,) = view.nodes[0].executions
    assert [line.text for line in runs.ask(lambda client: client.log(execution.id))] == ["sleeping", "woken"]
    (job,) = cluster.jobs(execution.id)
    cluster.until(lambda: cluster.jobs(execution.id)[0]["spec"].get("ttlSecondsAfterFinished"), "its Job's time to live")
    assert job["metadata"]["annotations"]["klassd.dev/stopped"] == "on request"


@pytest.mark.fault("E18")
def test_what_a_pod_waits_for_is_shown(runs: Runs) -> None:
    runs.start()
    run_id = runs.enqueue(cluster_jobs.no_image())
    runs.until(run_id, lambda view: "Image" in str(view.nodes[0].executions and view.nodes[0].executions[0].waiting))
    assert "Image" in runs.klassd("show", run_id)
    view = runs.finished(run_id)
    assert view.run.status == "failed" and "did not start within" in str(view.run.error) and "Image" in str(view.run.error)
    assert view.nodes[0].executions[0].waiting is None


@pytest.mark.fault("A5", "E22")
@pytest.mark.parametrize("seed", range(2))
def test_killed_schedulers_cost_no_pod_and_no_line(runs: Runs, cluster: Cluster, seed: int) -> None:
    dice = random.Random(seed)
    run_id = runs.enqueue(cluster_jobs.many())
    for _ in range(4):
        scheduler = runs.start()
        time.sleep(dice.uniform(0.5, 3.0))
        runs.kill(scheduler)
    runs.start()

    view = runs.finished(run_id)

    assert view.run.status == "succeeded", view.run.error
    assert view.run.output == cluster_jobs.MANY
    items = next(node for node in view.nodes if node.name == "item")
    assert [execution.attempt for execution in items.executions] == [1] * cluster_jobs.MANY

    async def consoles(client: Client) -> list[list[str]]:
        return [[line.text for line in await client.log(execution.id)] for execution in items.latest]

    for number, console in enumerate(runs.ask(consoles)):
        assert console == [f"{number}: line {line}" for line in range(100)]
    for execution in items.executions:
        assert len(cluster.pods(execution.id)) == 1

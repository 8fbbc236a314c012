"""What is told of pods on a real cluster: the way to their start, with times, and what the cluster says of them."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cluster_jobs
import pytest
from cluster_help import Cluster
from test_cluster_runs import Runs

from klassd.workflows import Pod, Workflow
from klassd.workflows.model.description import Description
from klassd.workflows.model.run import Execution


@pytest.fixture
def runs(cluster: Cluster, tmp_path: Path) -> Any:
    found = Runs(cluster, tmp_path)
    yield found
    found.close()


CUT = 1.0  # Kubernetes tells whole seconds, cut off
SEEN = 0.05  # a supervisor hears of two things at once and notes them one after the other


def described(cluster: Cluster, execution: Execution) -> Description:
    return asyncio.run(cluster.executor().describe(execution))


def test_a_pod_s_way_is_told_in_order_and_within_its_run(runs: Runs, cluster: Cluster) -> None:
    before = time.time()
    runs.start()
    view = runs.finished(runs.enqueue(cluster_jobs.Steps(count=3)))
    (execution,) = view.nodes[0].executions
    (pod,) = cluster.pods(execution.id)
    assert execution.located == {"pod": pod["metadata"]["name"], "node": pod["spec"]["nodeName"]}

    phases, started, finished = execution.phases, execution.started_at, execution.finished_at
    assert (
        phases.scheduled and phases.container and phases.process and phases.imported and phases.first_line and phases.returned
    )
    assert started and finished
    told = [before, phases.scheduled, phases.process, started, phases.imported]
    told += [phases.first_line, phases.returned, finished]
    assert all(earlier <= later + CUT for earlier, later in pairwise(told[:3])), told
    assert phases.process <= phases.container + CUT <= started + 2 * CUT
    assert all(earlier <= later + SEEN for earlier, later in pairwise(told[2:])), told

    shown = json.loads(runs.klassd("show", view.run.id, "--json"))
    (document,) = shown["nodes"][view.nodes[0].name]["executions"]
    steps = [step["step"] for step in document["timeline"] if step["step"] != "pull"]
    assert steps == ["queue", "schedule", "start", "boot", "import", "run", "outputs"]
    assert document["outside"]["commands"][0].endswith(f"-n {cluster.namespace} describe pod/{pod['metadata']['name']}")

    events = [(event.of, event.reason) for event in described(cluster, execution).events]
    assert [each for each in events if each[1] in ("SuccessfulCreate", "Scheduled", "Pulled", "Started")] == [
        ("job", "SuccessfulCreate"), ("pod", "Scheduled"), ("pod", "Pulled"), ("pod", "Started"),
    ]  # fmt: skip


@pytest.mark.fault("E18")
def test_an_image_that_cannot_be_pulled_is_shown_with_the_cluster_s_events(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    flow = Workflow("nowhere")
    flow.add("steps", cluster_jobs.Steps(count=1), pod=Pod(image="registry.invalid/none:1"))
    run_id = runs.enqueue(flow)
    view = runs.until(run_id, lambda view: "Image" in str(view.nodes[0].executions and view.nodes[0].executions[0].waiting))
    (execution,) = view.nodes[0].executions
    assert execution.phases.scheduled and "node" in execution.located
    shown = runs.klassd("show", run_id)
    assert "registry.invalid/none:1" in shown and "Failed: Failed to pull image" in " ".join(shown.split())
    assert f"describe pod/{execution.located['pod']}" in shown
    found = described(cluster, execution)
    assert found.state.startswith("Pending") and any(event.warning and event.reason == "Failed" for event in found.events)
    runs.ask(lambda client: client.cancel(run_id))
    assert runs.finished(run_id).run.status == "cancelled"


def test_what_the_cluster_never_had_is_described_as_not_there(cluster: Cluster) -> None:
    found = described(cluster, Execution(id="never-0-0-1", run_id="never", node="n", created_at=0.0))
    assert (found.state, found.events) == ("not there", ())

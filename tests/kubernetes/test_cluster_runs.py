"""Whole runs on a real cluster, by schedulers that are processes of their own and may be killed."""

from __future__ import annotations

import cluster_jobs
import pytest
from cluster_help import Cluster
from cluster_runs import Runs


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

"""Services as pods of a real cluster: ready, found under their address, and taken down."""

from __future__ import annotations

from typing import Any

import cluster_jobs
import pytest
from cluster_help import Cluster
from cluster_runs import Runs

from klassd.workflows import Container, FileOutput, Http, Workflow
from klassd.workflows.client import RunView


def of(view: RunView, name: str) -> Any:
    return next(node for node in view.nodes if node.name == name)


def is_dead(pod: dict[str, Any]) -> bool:
    return all("terminated" in each["state"] for each in pod["status"]["containerStatuses"])


def test_a_service_is_reached_from_another_pod_outlives_its_scheduler_and_is_taken_down(runs: Runs, cluster: Cluster) -> None:
    scheduler = runs.start()
    run_id = runs.enqueue(cluster_jobs.greeting(after=3.0))
    runs.until(run_id, lambda view: of(view, "greet").latest and of(view, "greet").latest[0].started_at)
    assert "ready at 10." in runs.klassd("show", run_id)
    runs.kill(scheduler)
    runs.start()
    view = runs.finished(run_id)
    assert view.run.status == "succeeded", view.run.error
    server = of(view, "server")
    (pod,) = cluster.pods(server.latest[0].id) or [None]
    assert pod is None or is_dead(pod), "a run ends after its services"
    assert (server.status, server.attempts, server.address) == ("succeeded", 1, f"{view.run.output['at']}:8080")
    assert view.run.output["said"].startswith("hello greet from ")
    console = runs.ask(lambda client: client.log(server.latest[0].id))
    assert console[-1].text == "closed"


ASK = """
import json, sys, urllib.request
status = urllib.request.urlopen(f"http://{sys.argv[1]}/").status
open("/out/status", "w").write(json.dumps(status))
"""


def served(cluster: Cluster, *command: str, ready_within: float = 60.0) -> Workflow:
    flow = Workflow("served")
    container = Container(cluster.image, key="server", command=command, grace=1.0)
    server = flow.service("server", container, ready=Http("/"), port=8080, ready_within=ready_within)
    asked = Container(
        cluster.image,
        key="ask",
        command=["python3", "-c", ASK],
        args=[server.address],
        outputs={"status": FileOutput("/out/status")},
    )
    flow.returns([flow.add("ask", asked).outputs("status"), server.address])
    return flow


def test_an_image_is_a_service_that_another_pod_finds_under_its_address_and_is_taken_down(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    view = runs.finished(runs.enqueue(served(cluster, "python3", "-m", "http.server", "8080")))
    assert view.run.status == "succeeded", view.run.error
    status, address = view.run.output
    server = of(view, "server")
    assert (status, server.status, server.address) == (200, "succeeded", address)
    assert address.startswith("10.") and address.endswith(":8080")
    assert all(is_dead(pod) for pod in cluster.pods(server.latest[0].id)), "a run ends after its services"


def test_an_image_that_is_not_ready_in_time_is_stopped_and_nothing_uses_it(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    view = runs.finished(runs.enqueue(served(cluster, "python3", "-c", "import time; time.sleep(1000)", ready_within=3.0)))
    assert (of(view, "server").latest[0].cause, of(view, "ask").status, view.run.status) == ("not_ready", "skipped", "failed")


@pytest.mark.fault("F15")
def test_a_service_whose_pod_is_deleted_takes_what_uses_it_along(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    run_id = runs.enqueue(cluster_jobs.greeting(after=60.0))
    view = runs.until(run_id, lambda view: of(view, "greet").latest and of(view, "greet").latest[0].started_at)
    (pod,) = cluster.pods(of(view, "server").latest[0].id)
    cluster.delete(f"/api/v1/namespaces/{{}}/pods/{pod['metadata']['name']}")
    view = runs.finished(run_id)
    assert (of(view, "server").status, of(view, "greet").status, view.run.status) == ("failed", "failed", "failed")
    assert of(view, "greet").error.startswith("stopped: its service server failed: ")
    assert all(is_dead(pod) for pod in cluster.pods(of(view, "greet").latest[0].id))

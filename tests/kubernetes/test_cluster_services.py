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


SERVE = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/end":
            os._exit(0)
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
ASK = """
import json, sys, time, urllib.request
time.sleep(3)
status = urllib.request.urlopen(f"http://{sys.argv[1]}/").status
open("/out/status", "w").write(json.dumps(status))
"""
END = """
import sys, time, urllib.request
try:
    urllib.request.urlopen(f"http://{sys.argv[1]}/end")
except OSError:
    time.sleep(1000)
"""
SLEEP = "import time; time.sleep(1000)"


def python(cluster: Cluster, program: str, *args: object, **options: Any) -> Container:
    return Container(cluster.image, command=["python3", "-c", program], args=args, grace=1.0, **options)


def test_an_image_is_reached_from_another_pod_outlives_its_scheduler_and_is_taken_down(runs: Runs, cluster: Cluster) -> None:
    flow = Workflow("served")
    service = flow.service("server", python(cluster, SERVE, key="server"), ready=Http("/"), port=8080)
    status = {"status": FileOutput("/out/status")}
    asked = flow.add("ask", python(cluster, ASK, service.address, key="ask", outputs=status))
    flow.returns([asked.outputs("status"), service.address])
    scheduler = runs.start()
    run_id = runs.enqueue(flow)
    runs.until(run_id, lambda view: of(view, "ask").latest and of(view, "ask").latest[0].started_at)
    runs.kill(scheduler)
    runs.start()
    view = runs.finished(run_id)
    assert view.run.status == "succeeded", view.run.error
    server = of(view, "server")
    assert view.run.output == [200, server.address]
    assert (server.status, server.attempts) == ("succeeded", 1)
    assert server.address.startswith("10.") and server.address.endswith(":8080")
    assert all(is_dead(pod) for pod in cluster.pods(server.latest[0].id)), "a run ends after its services"


@pytest.mark.fault("F15")
def test_an_image_that_ends_early_or_is_not_ready_in_time_fails_what_would_use_it(runs: Runs, cluster: Cluster) -> None:
    flow = Workflow("served")
    brief = flow.service("brief", python(cluster, SERVE, key="brief"), ready=Http("/"), port=8080)
    flow.add("user", python(cluster, END, brief.address, key="user"))
    deaf = flow.service("deaf", python(cluster, SLEEP, key="deaf"), ready=Http("/"), port=8080, ready_within=3.0)
    flow.add("never", python(cluster, SLEEP, key="never"), after=[deaf])
    runs.start()
    view = runs.finished(runs.enqueue(flow))
    assert of(view, "brief").error == "it ended by itself before the nodes that use it had ended"
    assert of(view, "user").error == f"stopped: its service brief failed: {of(view, 'brief').error}"
    assert (of(view, "user").latest[0].cause, of(view, "user").attempts) == ("service", 1)
    assert (of(view, "deaf").latest[0].cause, of(view, "never").status) == ("not_ready", "skipped")
    assert all(is_dead(pod) for name in ("user", "deaf") for pod in cluster.pods(of(view, name).latest[0].id))


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

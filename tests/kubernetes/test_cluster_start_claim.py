"""Pods claim their start from a process that has the store: on a real cluster, with `klassd serve` on this machine.

KLASSD_TEST_CALLBACK_HOST names an address of this machine that pods reach; by default a node's, where the cluster runs here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cluster_jobs
import pytest
from cluster_help import Cluster
from outcomes import alive, came_to, ours, told
from test_cluster_runs import Runs

from klassd.workflows.client import Client, RunView
from klassd.workflows.composition import make_server, make_store
from klassd.workflows.crashes import WITH_PODS
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, RunStatus
from klassd.workflows.worker.execute import UNRUN


@pytest.fixture(scope="module")
def here(cluster: Cluster) -> str:
    """This machine, as pods see it."""
    if told := os.environ.get("KLASSD_TEST_CALLBACK_HOST"):
        return told
    nodes = cluster.get("/api/v1/nodes") or {"items": []}
    addresses = [each["address"] for each in nodes["items"][0]["status"]["addresses"] if each["type"] == "InternalIP"]
    with socket.socket() as trial:
        try:
            trial.bind((addresses[0], 0))
        except OSError:
            raise AssertionError("set KLASSD_TEST_CALLBACK_HOST to an address of this machine that pods reach") from None
    return str(addresses[0])


class Claims(Runs):
    """Runs whose pods ask at a port of this machine, whether anybody listens there or not."""

    def __init__(self, cluster: Cluster, path: Path, host: str) -> None:
        super().__init__(cluster, path)
        with socket.create_server((host, 0)) as free:
            self.host, self.port = host, free.getsockname()[1]
        self._env["KLASSD_KUBERNETES_CALLBACK"] = f"http://{host}:{self.port}"

    def serve(self, crash_at: str = "") -> subprocess.Popen[bytes]:
        arguments = ["serve", "cluster_jobs:app", "--host", self.host, "--port", str(self.port)]
        process = subprocess.Popen(
            [sys.executable, "-m", "klassd.workflows.cli", *arguments],
            env=self._env | ({"KLASSD_CRASH_AT": crash_at} if crash_at else {}),
            stdout=subprocess.PIPE,
        )
        self._schedulers.append(process)
        assert process.stdout and any(b"probes and API on" in line for line in process.stdout)
        return process

    @contextmanager
    def answered_by_the_test(self) -> Iterator[None]:
        """Without a scheduler that would do more than answer."""
        loop, over = asyncio.new_event_loop(), asyncio.Event()

        async def main() -> None:
            store = make_store(self.store)
            await store.open()
            server, _ = make_server(store, self.host, self.port)
            async with server:
                await over.wait()
            await store.close()

        thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
            loop.close()

    def says(self, run_id: str, text: str) -> Execution:
        """The execution of its only node, once its console says so."""

        async def lines(client: Client) -> list[str]:
            view = await client.view(run_id)
            return [line.text for each in executions(view) for line in await client.log(each.id)]

        self.until(run_id, lambda view: text in self.ask(lines))
        (found,) = executions(self.ask(lambda client: client.view(run_id)))
        return found


@pytest.fixture
def claims(cluster: Cluster, tmp_path: Path, here: str) -> Iterator[Claims]:
    found = Claims(cluster, tmp_path, here)
    yield found
    found.close()


def executions(view: RunView) -> list[Execution]:
    return [each for node in view.nodes for each in node.executions]


def only(pods: list[dict[str, Any]]) -> dict[str, Any]:
    (pod,) = pods
    return pod


def exit_code(pod: dict[str, Any]) -> int | None:
    for status in pod["status"].get("containerStatuses") or ():
        if terminated := (status.get("state") or {}).get("terminated"):
            return int(terminated["exitCode"])
    return None


def console(cluster: Cluster, pod: str) -> str:
    answer = cluster._http.get(f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/log")
    return answer.text


@pytest.mark.fault("E23")
def test_a_pod_runs_after_its_claim_and_a_second_one_runs_nothing(claims: Claims, cluster: Cluster) -> None:
    claims.serve()
    run_id = claims.enqueue(cluster_jobs.Sleeper())
    execution = claims.says(run_id, "sleeping")
    first = only(cluster.pods(execution.id))
    name, uid = first["metadata"]["name"], first["metadata"]["uid"]
    assert execution.started_by and execution.started_by.startswith(f"{name}/{uid}/")

    twin = twin_of(first)
    cluster.create("/api/v1/namespaces/{}/pods", twin)
    second = twin["metadata"]["name"]
    ended = cluster.until(lambda: ended_pod(cluster, execution.id, second), "the end of the second pod")
    assert exit_code(ended) == UNRUN
    assert f"{execution.id} is started by another pod, and runs once" in console(cluster, second)
    assert "\x1e" not in console(cluster, second) and "sleeping" not in console(cluster, second)

    claims.klassd("stop", run_id)
    view = claims.finished(run_id)
    (execution,) = executions(view)
    assert (view.run.status, execution.cause) == (RunStatus.CANCELLED, Cause.STOPPED)
    assert [warning for warning in execution.warnings if second in warning and "refused the start" in warning]
    assert console_of(claims, execution.id) == ["sleeping", "woken"]
    secret = cluster.get(f"/api/v1/namespaces/{{}}/secrets/{name.rpartition('-')[0]}")
    assert secret and secret["metadata"]["ownerReferences"][0]["kind"] == "Job"
    token = claims.klassd("show", run_id, "--json")
    assert secret["data"]["token"] not in token and "token" not in token


@pytest.mark.fault("E23")
def test_what_the_jobs_controller_makes_while_no_scheduler_is_there_to_end_it_runs_nothing(
    claims: Claims, cluster: Cluster
) -> None:
    with claims.answered_by_the_test():
        scheduler = claims.start()
        run_id = claims.enqueue(cluster_jobs.Sleeper())
        execution = claims.says(run_id, "sleeping")
        first = only(cluster.pods(execution.id))["metadata"]["name"]
        claims.kill(scheduler)
        cluster.delete(f"/api/v1/namespaces/{{}}/pods/{first}")
        second = cluster.until(
            lambda: next((p for p in cluster.pods(execution.id) if p["metadata"]["name"] != first and not alive(p)), None),
            "the end of a second pod",
        )
        assert exit_code(second) == UNRUN
        assert "\x1e" not in console(cluster, second["metadata"]["name"])
        cluster.until(lambda: len(cluster.pods(execution.id)) == 1, "the end of the first pod")
    claims.serve()
    view = claims.finished(run_id)
    (execution,) = executions(view)
    assert (view.run.status, execution.cause) == (RunStatus.FAILED, Cause.LOST), execution.error
    assert "started by another pod" in str(execution.error)
    assert console_of(claims, execution.id) == ["sleeping"]


@pytest.mark.fault("E23")
def test_a_pod_that_finds_no_scheduler_waits_for_one(claims: Claims, cluster: Cluster) -> None:
    claims.start()  # it launches, and answers nobody
    run_id = claims.enqueue(cluster_jobs.Steps(count=3))
    view = claims.until(run_id, executions)
    (execution,) = executions(view)
    cluster.until(lambda: any(running(pod) for pod in cluster.pods(execution.id)), "a pod that runs")
    (execution,) = executions(claims.ask(lambda client: client.view(run_id)))
    assert (execution.started_by, execution.started_at) == (None, None)
    claims.serve()
    view = claims.finished(run_id)
    assert (view.run.status, view.run.output) == (RunStatus.SUCCEEDED, 3), view.run.error
    assert len(cluster.pods(execution.id)) == 1


def test_a_pod_that_never_hears_from_a_scheduler_ends_unrun_and_may_be_tried_again(cluster: Cluster) -> None:
    heard = told(cluster, ours("Steps", claim="secret", start_deadline=0.1), callback="http://127.0.0.1:1")
    found = came_to(heard)
    assert (found.cause, found.retry, found.infrastructure) == (Cause.START_DEADLINE, True, True)
    assert "NoScheduler: no answer from http://127.0.0.1:1/" in str(found.message) and heard.started == 0


@pytest.mark.fault("A5", "E23")
@pytest.mark.parametrize("mark", sorted(WITH_PODS))
def test_a_scheduler_killed_while_it_hands_over_or_grants_a_start_costs_nothing(
    claims: Claims, cluster: Cluster, mark: str
) -> None:
    run_id = claims.enqueue(cluster_jobs.Steps(count=3))
    assert claims.serve(crash_at=mark).wait(60) == -signal.SIGKILL
    claims.serve()
    view = claims.finished(run_id)
    (execution,) = executions(view)
    assert (view.run.status, view.run.output, execution.attempt) == (RunStatus.SUCCEEDED, 3, 1), view.run.error
    assert console_of(claims, execution.id) == ["step 1", "step 2", "step 3"]
    assert len(cluster.pods(execution.id)) == 1


def twin_of(pod: dict[str, Any]) -> dict[str, Any]:
    """As the Job's controller would make one, but so that it does not count it as its own and end it."""
    metadata, spec = pod["metadata"], dict(pod["spec"])
    labels = {key: text for key, text in metadata["labels"].items() if "/" in key and not key.startswith("batch.")}
    spec.pop("nodeName")
    name = f"{metadata['name']}-twin"
    return {"metadata": {"name": name, "labels": labels, "annotations": metadata["annotations"]}, "spec": spec}


def ended_pod(cluster: Cluster, execution_id: str, name: str) -> dict[str, Any] | None:
    return next((p for p in cluster.pods(execution_id) if p["metadata"]["name"] == name and exit_code(p) is not None), None)


def running(pod: dict[str, Any]) -> bool:
    return any("running" in (each.get("state") or {}) for each in pod["status"].get("containerStatuses") or ())


def console_of(claims: Claims, execution_id: str) -> list[str]:
    return [line.text for line in claims.ask(lambda client: client.log(execution_id))]

"""Services as the kubelet sees them: what it is told to ask, and when a pod's readiness is told on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from klassd.workflows.containers.container import SOURCE
from klassd.workflows.executors.kubernetes.manifest import render
from klassd.workflows.executors.kubernetes.readiness import been_ready, is_asked, with_readiness
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.executors.kubernetes.view import Known, _pod
from klassd.workflows.model.execution import Finished, Ready, Started, Told
from klassd.workflows.options import Service
from klassd.workflows.order import ContainerSpec, Order

PORT = {"port": 5432}
EVERY = {"periodSeconds": 1, "timeoutSeconds": 2}


def rendered(service: Service | None) -> dict[str, Any]:
    order = Order(execution_id="run-0-0-1", run_id="run", node="db", job="Db", source="db:Db", service=service)
    return render(order, KubernetesSettings(image="shop:1", namespace="jobs")).job


def pod(ready: bool, asked: bool = True) -> dict[str, Any]:
    found = rendered(Service(ready="tcp", port=5432) if asked else None)
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "podIP": "10.244.0.7", "conditions": conditions}
    return {"metadata": {**found["metadata"], "uid": "1"}, "spec": found["spec"]["template"]["spec"], "status": status}


@pytest.mark.parametrize(
    ("service", "probe"),
    [
        (Service(ready="tcp", port=5432), {"tcpSocket": PORT, **EVERY}),
        (Service(ready="http", path="/health", port=5432), {"httpGet": {"path": "/health", **PORT}, **EVERY}),
        (Service(port=5432), None),
        (Service(ready="tcp", port=0), None),
        (None, None),
    ],
    ids=["tcp", "http", "a signal", "any port", "no service"],
)
def test_the_kubelet_asks_at_a_port_that_is_known_and_nothing_else(service: Service | None, probe: Any) -> None:
    job = rendered(service)
    worker = job["spec"]["template"]["spec"]["containers"][0]
    assert worker.get("readinessProbe") == probe
    assert job["metadata"]["annotations"].get("klassd.dev/readiness") == (None if probe is None else "5432")
    pod_ip = [each["valueFrom"] for each in worker["env"] if each["name"] == "KLASSD_POD_IP"]
    assert pod_ip == ([] if service is None else [{"fieldRef": {"fieldPath": "status.podIP"}}])


def image(service: Service) -> dict[str, Any]:
    spec = ContainerSpec(image="postgres:16")
    order = Order(execution_id="run-0-0-1", run_id="run", node="db", job="db", source=SOURCE, service=service, container=spec)
    return render(order, KubernetesSettings(namespace="jobs")).job


def test_an_image_is_asked_as_a_job_is_and_its_deadline_to_be_ready_is_for_the_scheduler_to_watch() -> None:
    service = Service(ready="tcp", port=5432, ready_within=90.0)
    job = image(service)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["readinessProbe"]) == ("postgres:16", {"tcpSocket": PORT, **EVERY})
    annotations = job["metadata"]["annotations"]
    assert (annotations["klassd.dev/readiness"], annotations["klassd.dev/ready-within"]) == ("5432", "90")
    assert "klassd.dev/ready-within" not in rendered(service)["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("status", "changed", "expected"),
    [("True", "10:00:09", True), ("False", "09:59:58", False), ("False", "10:00:30", True), (None, "", False)],
    ids=["it is", "it never was", "it was", "nobody says"],
)
def test_one_that_was_ready_is_not_taken_for_one_that_never_was(status: str | None, changed: str, expected: bool) -> None:
    found = pod(ready=False)
    day = "2026-01-02T{}Z"
    running = {"name": "worker", "state": {"running": {"startedAt": day.format("10:00:00")}}}
    conditions = [{"type": "Ready", "status": status, "lastTransitionTime": day.format(changed)}] if status else []
    found["status"] |= {"conditions": conditions, "containerStatuses": [running]}
    assert been_ready(found) is expected


async def following(known: Known, gate: asyncio.Event) -> AsyncGenerator[Sequence[Told], None]:
    yield [Started(at=1.0)]
    await gate.wait()
    yield [Finished()]


def test_a_pod_that_becomes_ready_while_its_console_is_read_is_told_at_once_with_its_address() -> None:
    async def main() -> None:
        known, gate = Known(), asyncio.Event()
        known.put_pod(_pod(pod(ready=False)))
        told = with_readiness(known, following(known, gate))
        assert await anext(told) == [Started(at=1.0)]
        known.put_pod(_pod(pod(ready=True)))
        known.tell()
        (ready,) = await anext(told)
        assert isinstance(ready, Ready) and (ready.host, ready.port) == ("10.244.0.7", None)
        gate.set()
        assert [batch async for batch in told] == [[Finished()]]

    asyncio.run(main())


def test_the_end_is_told_of_a_pod_that_never_was_ready() -> None:
    async def main() -> None:
        known, gate = Known(), asyncio.Event()
        known.put_pod(_pod(pod(ready=False)))
        gate.set()
        assert [batch async for batch in with_readiness(known, following(known, gate))] == [[Started(at=1.0)], [Finished()]]

    asyncio.run(main())


@pytest.mark.parametrize("asked", [True, False])
def test_a_pod_that_nobody_asks_is_not_called_ready(asked: bool) -> None:
    known = Known()
    known.put_pod(_pod(pod(ready=True, asked=asked)))
    assert is_asked(known) is asked

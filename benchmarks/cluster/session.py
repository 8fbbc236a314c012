"""A namespace that is made for the measurement and removed after it, a scheduler in a process of its own, a client here."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks import processes
from benchmarks.cluster.jobs import app
from benchmarks.cluster.sights import Sights, sights
from klassd.workflows import Client, Job, __version__
from klassd.workflows.executors.kubernetes.api import JOBS, Api, ApiError, connect
from klassd.workflows.executors.kubernetes.manifest import WORKER, render
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.model.run import execution_id
from klassd.workflows.order import Order
from klassd.workflows.system import SystemClock, SystemIds

NAMESPACES, ACCOUNT = "/api/v1/namespaces", "/api/v1/namespaces/{namespace}/serviceaccounts/default"


@dataclass
class Session:
    client: Client
    api: Api
    seen: Sights
    settings: KubernetesSettings
    scheduler: subprocess.Popen[str]

    async def requests(self) -> dict[str, int]:
        """What the scheduler has asked the API for so far, by kind."""
        stdin, stdout = self.scheduler.stdin, self.scheduler.stdout
        assert stdin and stdout
        stdin.write("\n")
        stdin.flush()
        told: dict[str, int] = json.loads(await asyncio.to_thread(stdout.readline))
        return told

    def cpu(self) -> float:
        return processes.cpu_of(self.scheduler.pid)[0]

    def resident(self) -> float:
        return processes.resident(self.scheduler.pid)

    def bare(self, job: type[Job], **inputs: Any) -> tuple[str, dict[str, Any]]:
        """The Job of an execution of which no scheduler knows, in all else like the others."""
        ids, source = SystemIds(), f"{job.__module__}:{job.__name__}"
        run = ids.run_id(SystemClock().now())
        name = execution_id(run, 0, 0, 1)
        order = Order(
            execution_id=name, run_id=run, node="bare", job=source, source=source, inputs=inputs, nonce=ids.token(),
            version=__version__,
        )  # fmt: skip
        return name, render(order, self.settings).job

    async def create(self, manifest: dict[str, Any]) -> None:
        await self.api.create(JOBS, manifest)

    async def console(self, name: str) -> float:
        """When all of it had been read."""
        async for _ in self.api.log(self.seen.pods[name], WORKER, follow=False):
            pass
        return time.time()


@asynccontextmanager
async def session(kubeconfig: str = "", image: str = "", **more: str) -> AsyncIterator[Session]:
    """On the cluster of the environment unless another is given. ``more``: what the scheduler finds in its own besides."""
    kubeconfig, image = kubeconfig or _named("KLASSD_TEST_KUBECONFIG"), image or _named("KLASSD_TEST_IMAGE")
    namespace = f"klassd-bench-{SystemIds().token()[:8]}"
    settings = KubernetesSettings(kubeconfig=kubeconfig, namespace=namespace, image=image)
    api = connect(settings)
    try:
        await _make(api)
        with tempfile.TemporaryDirectory(prefix="klassd-bench-") as state:
            os.environ.update(
                KLASSD_STATE=state, KLASSD_EXECUTOR="kubernetes", KLASSD_NAMESPACE=namespace, KLASSD_IMAGE=image,
                KLASSD_KUBERNETES_KUBECONFIG=kubeconfig,
            )  # fmt: skip
            async with sights(api) as seen, app.client() as client:
                scheduler = _scheduler(more)
                try:
                    others = msgspec.structs.replace(settings, instance="bare")
                    yield Session(client, api, seen, others, scheduler)
                finally:
                    _end(scheduler)
    finally:
        await api.delete(NAMESPACES, namespace, {})
        await api.close()


def _named(variable: str) -> str:
    if text := os.environ.get(variable):
        return text
    raise SystemExit(f"{variable} is not set: expected a cluster and an image as for `make test-cluster`")


async def _make(api: Api) -> None:
    """The namespace, and in it what Kubernetes puts there before it lets pods in."""
    await api.create(NAMESPACES, {"metadata": {"name": api.namespace}})
    async with asyncio.timeout(60):
        while True:
            try:
                await api.get(ACCOUNT)
                return
            except ApiError:
                await asyncio.sleep(0.1)


def _scheduler(more: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cluster.host"],
        env=os.environ | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    if process.stdout.readline() != "ready\n":
        raise SystemExit("the scheduler did not start")
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin and process.stdout
    process.stdin.close()
    process.wait()
    process.stdout.close()

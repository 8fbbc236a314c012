"""A fake cluster with a namespace, and what tests do to both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import outcomes
from cluster_help import Cluster
from fake_api import NEW, FakeCluster, Release
from fake_api.containers import Runtime
from fake_api.processes import process
from fake_api.scripted import Speaker, scripted

from klassd.workflows.model.execution import Waiting
from klassd.workflows.order import Order
from klassd.workflows.testing.executors import Heard, order

PATIENCE = 30.0  # seconds


class Fake(Cluster):
    def __init__(self, api: FakeCluster) -> None:
        super().__init__(api.kubeconfig, "fake:1")
        self.api = api

    @property
    def faults(self) -> Any:
        return self.api.faults

    def count(self, call: str) -> int:
        return self.api.parts.server.calls[call]

    def job(self, wanted: Order) -> dict[str, Any]:
        (found,) = self.jobs(wanted.execution_id)
        return found

    def change(self, wanted: Order, **spec: Any) -> None:
        """Its Job's specification, by hand."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{self.job(wanted)['metadata']['name']}"
        headers = {"content-type": "application/merge-patch+json"}
        answer = self._http.patch(path, json={"spec": spec}, headers=headers)
        assert answer.status_code < 300, answer.text

    def pod(self, wanted: Order) -> dict[str, Any]:
        (found,) = self.pods(wanted.execution_id)
        return found

    def phases(self, wanted: Order) -> list[str]:
        """Of its pods, as far as they have one."""
        return [str(pod.get("status", {}).get("phase")) for pod in self.pods(wanted.execution_id)]

    def on_node(self, what: Callable[[Any], Any]) -> None:
        self.api.do(lambda: what(self.api.parts.kubelet))

    async def happens(self, holds: Callable[[], Any], what: str) -> Any:
        return await asyncio.to_thread(self.until, holds, what)

    async def starts(self, wanted: Order) -> None:
        await self.happens(lambda: "Running" in self.phases(wanted), "its pod")


@contextmanager
def a_fake(release: Release = NEW, runtime: Runtime = process) -> Iterator[Fake]:
    with FakeCluster(release, runtime) as api:
        found = Fake(api)
        try:
            yield found
        finally:
            found.close()


told = partial(outcomes.told, patience=PATIENCE)


def waits(heard: Heard) -> list[str]:
    return [each.why for each in heard.told if isinstance(each, Waiting)]


def an_order(**more: Any) -> Order:
    return order("Scripted", **more)


def lines_until_stopped(count: int) -> Runtime:
    """Says so many lines, and then works until it is stopped."""

    async def script(speaker: Speaker) -> Any:
        for number in range(count):
            speaker.line(f"line {number}")
        await speaker.idle(None)
        return speaker.end("none", requested="stop")

    return scripted(script)


def lines_and_success(count: int) -> Runtime:
    async def script(speaker: Speaker) -> None:
        for number in range(count):
            speaker.line(f"line {number}")

    return scripted(script)

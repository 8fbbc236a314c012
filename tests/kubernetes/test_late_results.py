"""A node that comes back after its job's ``lost_after`` has given the attempt up, before a whole scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fake_api import NEW, OLD
from fake_api.clock import stamp
from fake_api.containers import Ended
from fake_api.scripted import Speaker, scripted
from fake_help import Fake, a_fake

from klassd.workflows import Job, JobContext, Retry
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.executors.kubernetes import sight
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, ExecutionStatus, RunStatus
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemClock, SystemIds, TaskSpawner
from klassd.workflows.testing.executors import run

PODS = "/api/v1/namespaces/{}/pods"


class Impatient(Job, lost_after=0.3, retry=Retry(0, infrastructure=1, backoff=0)):
    def run(self, ctx: JobContext) -> None:
        """What it does is the script's."""


class Node:
    """Its first pod works until ``done``, or until it is stopped; others end at once."""

    def __init__(self, fake: Fake) -> None:
        self.fake, self.done, self.pods = fake, asyncio.Event(), 0
        fake.on_node(lambda kubelet: setattr(kubelet, "runtime", scripted(self._script)))

    async def _script(self, speaker: Speaker) -> Ended:
        self.pods += 1
        if self.pods > 1:
            return speaker.end()
        speaker.line("working")
        ways = [asyncio.ensure_future(each.wait()) for each in (self.done, speaker.container.stopping)]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        return speaker.end() if self.done.is_set() else speaker.end("none", requested="stop")

    def falls_silent(self, pod: str) -> None:
        """And the cluster's node controller marks its pods."""

        def marked(item: Any) -> None:
            item["status"]["conditions"] = [
                {"type": "ContainersReady", "status": "True", "lastTransitionTime": stamp()},
                {"type": "Ready", "status": "False", "lastTransitionTime": stamp()},
            ]

        self.fake.on_node(lambda kubelet: setattr(kubelet, "lost", True))
        self.fake.on_node(lambda kubelet: kubelet.container(pod).console.end())  # what was connected to it breaks off
        self.fake.api.do(lambda: self.fake.api.parts.storage.change("pods", self.fake.namespace, pod, marked))

    def ended(self, pod: str) -> bool:
        return bool(self.fake.api.do(lambda: self.fake.api.parts.kubelet.ended(pod)))

    def comes_back(self) -> None:
        self.fake.on_node(lambda kubelet: kubelet.found_again())


@pytest.fixture(params=[OLD, NEW], ids=lambda release: release.name)
def node(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(sight, "OVERDUE", 0.2)
    with a_fake(request.param) as fake:
        yield Node(fake)


@pytest.mark.fault("E15")
@pytest.mark.parametrize("succeeded", [True, False], ids=["it had succeeded meanwhile", "it still runs"])
def test_a_result_that_comes_after_its_attempt_was_given_up_is_told_as_late_and_changes_nothing(
    node: Node, succeeded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fake = node.fake

    async def scenario() -> None:
        clock, store = SystemClock(), MemoryStore()
        parts = {"clock": clock, "ids": SystemIds(), "spawner": TaskSpawner(), "call": call_condition}
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client, Scheduler(store, fake.executor(), **parts):
            run_id = await client.enqueue(Impatient())

            async def attempts(*states: ExecutionStatus) -> list[Execution]:
                found: list[Execution] = []
                while [each.status for each in found] != list(states):
                    await asyncio.sleep(0.02)
                    found = (await client.view(run_id)).nodes[0].executions
                return found

            (first,) = await attempts(ExecutionStatus.RUNNING)
            pod = (await asyncio.to_thread(fake.pods, first.id))[0]["metadata"]["name"]
            await asyncio.to_thread(node.falls_silent, pod)
            lost, _ = await attempts(ExecutionStatus.FAILED, ExecutionStatus.STARTING)
            assert lost.cause is Cause.LOST and "lost_after" in str(lost.error)
            assert (await asyncio.to_thread(fake.pods, first.id))[0]["status"]["phase"] == "Running"

            if succeeded:
                await asyncio.to_thread(fake.api.do, node.done.set)
                await fake.happens(lambda: node.ended(pod), "its end, which nobody sees")
            await asyncio.to_thread(node.comes_back)
            late, _ = await attempts(ExecutionStatus.FAILED, ExecutionStatus.SUCCEEDED)
            (said,) = await fake.happens(lambda: late_results(caplog), "its end to be told")
            assert first.id in said and ("(exit code 0)" in said) == succeeded
            await fake.happens(lambda: not alive(fake, first.id), "its pod to be dead")
            assert (late.cause, late.error, late.finished_at) == (lost.cause, lost.error, lost.finished_at)
            assert (await client.run(run_id)).status is RunStatus.SUCCEEDED

    with caplog.at_level(logging.WARNING, "klassd.workflows"):
        run(scenario, 30.0)
    assert len(late_results(caplog)) == 1  # the second attempt was reaped when its pod was dead, as usual


def late_results(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in caplog.messages if "its late result counts for nothing" in each]


def alive(fake: Fake, execution_id: str) -> bool:
    return any(pod["status"]["phase"] == "Running" for pod in fake.pods(execution_id))

"""A scheduler that has its store and loses its cluster: it says so, waits, and takes nothing for a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from fake_api import NEW, OLD
from fake_api.containers import Ended
from fake_api.scripted import Speaker, scripted
from fake_help import Fake, a_fake

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.executors.kubernetes import follower, view
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemClock, SystemIds, TaskSpawner
from klassd.workflows.testing.executors import run
from klassd.workflows.testing.proxy import FaultProxy, Faults

LEASE = 1.0
LINES = 5


class Works(Job):
    def run(self, ctx: JobContext) -> None:
        """What it does is the script's."""


class Counting(MemoryStore):
    renewals = 0

    async def renew(self, owner: str, ttl: float) -> bool:
        self.renewals += 1
        return await super().renew(owner, ttl)


@pytest.fixture(params=[OLD, NEW], ids=lambda release: release.name)
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(view, "RETRY", 0.1)
    monkeypatch.setattr(follower, "REOPEN", 0.05)
    with a_fake(request.param) as found:
        yield found


@pytest.mark.fault("B3")
def test_a_scheduler_that_loses_only_its_cluster_says_so_and_tells_no_false_failure(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    """One job ends while it is away, one is enqueued then."""
    gone = asyncio.Event()

    async def script(speaker: Speaker) -> Ended:
        speaker.line("line 0")
        await gone.wait()
        for number in range(1, LINES):
            speaker.line(f"line {number}")
        return speaker.end()

    async def scenario() -> None:
        clock, store = SystemClock(), Counting()
        parts = {"clock": clock, "ids": SystemIds(), "spawner": TaskSpawner(), "call": call_condition, "lease": LEASE}
        async with (
            FaultProxy(("127.0.0.1", fake.api.parts.port)) as proxy,
            Client(store, clock, SystemIds(), TaskSpawner()) as client,
            Scheduler(store, fake.executor(kubeconfig=fake.api.kubeconfig_of(proxy.address[1])), **parts) as scheduler,
        ):
            first = await client.enqueue(Works())
            changes = client.changes()
            while not [line async for each in client.executions(first) for line in await client.log(each.id)]:
                await anext(changes)
            proxy.faults = Faults(refuse=True)
            await proxy.drop()
            fake.api.do(gone.set)
            second = await client.enqueue(Works())
            await fake.happens(lambda: len(warnings(caplog)) >= 2, "that it says so")
            renewed = store.renewals
            await fake.happens(lambda: store.renewals >= renewed + 9, "three leases")
            assert scheduler.holds_lease
            assert {(await client.run(run_id)).status for run_id in (first, second)} == {RunStatus.RUNNING}
            proxy.faults = Faults()
            for run_id in (first, second):
                assert (await client.wait(run_id)).status is RunStatus.SUCCEEDED
                (only,) = [each async for each in client.executions(run_id)]
                assert await lines(client, only) == [f"line {number}" for number in range(LINES)]
                assert only.attempt == 1 and len(await asyncio.to_thread(fake.jobs, only.id)) == 1

    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", scripted(script)))
    with caplog.at_level(logging.WARNING, "klassd.workflows"):
        run(scenario, 40.0)


async def lines(client: Client, execution: Execution) -> list[str]:
    return [line.text for line in await client.log(execution.id)]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in caplog.messages if "does not answer" in each]

"""A scheduler whose lease ran out while it could not renew it, and what others did meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import LEASE, Scheduler
from klassd.workflows.errors import LaunchDelayed, StoreError
from klassd.workflows.model.execution import Told
from klassd.workflows.model.states import RunStatus
from klassd.workflows.order import Order
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual
from klassd.workflows.testing.inline import InlineExecution

PAUSE = 3 * LEASE


class Waits(Job):
    """Until it is stopped."""

    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(1e9)


class CutOff(MemoryStore):
    """A handle of the store that renews no lease before ``back``."""

    back = 0.0

    async def renew(self, owner: str, ttl: float) -> bool:
        if self._clock.now() < self.back:
            raise StoreError("no route to it")
        return await super().renew(owner, ttl)


class BusyAtFirst(InlineExecutor):
    """Its machine has no room for the first launch of all."""

    refused = False

    async def launch(self, order: Order) -> None:
        if not self.refused:
            self.refused = True
            raise LaunchDelayed("no room", retry_after=PAUSE)
        await super().launch(order)


class Works(Job, start_deadline="20s"):
    async def run(self, ctx: JobContext) -> int:
        await asyncio.sleep(60)
        return 42


class Deaf(InlineExecutor):
    """Whoever follows hears nothing."""

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        await asyncio.Event().wait()
        yield []


Check = Callable[[Client, str, dict[str, InlineExecution], Scheduler], Awaitable[None]]


async def with_a_lapsed_lease(another: bool, check: Check) -> None:
    """The first scheduler has committed its start and waits for room while its lease runs out; with ``another``, that one takes
    over, and the run is cancelled, ended and forgotten before the first goes on. Then the check."""
    clock, data = VirtualClock(), MemoryData()
    executions: dict[str, InlineExecution] = {}
    store = CutOff(clock=clock, data=data)
    async with Client(MemoryStore(clock=clock, data=data), clock, SystemIds(), TaskSpawner()) as client:
        run_id = await client.enqueue(Waits())
        first = BusyAtFirst(clock, executions=executions)
        async with scheduler(store, first, clock) as lapsed:
            while not first.refused:
                await clock.sleep(0.1)
            store.back = clock.now() + 2 * LEASE
            if another:
                await client.cancel(run_id)
                async with scheduler(MemoryStore(clock=clock, data=data), InlineExecutor(clock, executions={}), clock):
                    await client.wait(run_id)
            await clock.sleep(2 * PAUSE)
            await check(client, run_id, executions, lapsed)


def scheduler(store: MemoryStore, executor: InlineExecutor, clock: VirtualClock) -> Scheduler:
    return Scheduler(store, executor, clock=clock, ids=SystemIds(), spawner=TaskSpawner(), call=call_condition)


@pytest.mark.fault("A17", "B2")
def test_a_scheduler_that_renews_too_late_starts_nothing_of_runs_that_others_took_and_ended() -> None:
    async def check(client: Client, run_id: str, executions: dict[str, InlineExecution], lapsed: Scheduler) -> None:
        assert (await client.run(run_id)).status is RunStatus.CANCELLED
        assert executions == {}
        assert lapsed.kept == 0

    run_virtual(with_a_lapsed_lease(True, check))


def test_a_scheduler_that_renews_too_late_goes_on_with_runs_that_nobody_took() -> None:
    async def check(client: Client, run_id: str, executions: dict[str, InlineExecution], lapsed: Scheduler) -> None:
        run = await client.run(run_id)
        assert (run.status, run.epoch) == (RunStatus.RUNNING, 1)
        assert len(executions) == 1
        assert lapsed.kept == 1

    run_virtual(with_a_lapsed_lease(False, check))


@pytest.mark.fault("A17", "B7")
def test_a_scheduler_that_lost_its_lease_stops_nothing_that_does_well_with_another() -> None:
    async def scenario() -> None:
        clock, data = VirtualClock(), MemoryData()
        executions: dict[str, InlineExecution] = {}
        store = CutOff(clock=clock, data=data)
        async with Client(MemoryStore(clock=clock, data=data), clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Works())
            async with scheduler(store, Deaf(clock, executions=executions), clock):
                while not executions:
                    await clock.sleep(0.1)
                store.back = clock.now() + 4 * LEASE
                async with scheduler(MemoryStore(clock=clock, data=data), InlineExecutor(clock, executions=executions), clock):
                    run = await client.wait(run_id)
        assert (run.status, run.output) == (RunStatus.SUCCEEDED, 42)

    run_virtual(scenario())

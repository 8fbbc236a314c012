"""The real engine in virtual time, in a world that is slow, silent, out of step or restless: delays, and nothing worse."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from klassd.workflows import Job, JobContext, Workflow
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import LEASE, Scheduler
from klassd.workflows.model.run import Change, LoadedRun, Run
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, VirtualEngine, run_virtual
from klassd.workflows.testing.inline import InlineExecution


class Find(Job):
    def run(self, ctx: JobContext) -> list[int]:
        return [1, 2, 3]


class Nap(Job):
    minutes: int

    async def run(self, ctx: JobContext) -> int:
        ctx.log("dozing off")
        await asyncio.sleep(60 * self.minutes)
        return self.minutes


def naps() -> Workflow:
    wf = Workflow("naps")
    slept = wf.map("nap", lambda minutes: Nap(minutes=minutes), over=wf.add("find", Find()).output)
    wf.returns(slept.output)
    return wf


class Silent(MemoryStore):
    """Its hints go astray."""

    async def watch(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield


class Slow(MemoryStore):
    """Takes two seconds for every answer, as a database does whose pool is used up."""

    async def renew(self, owner: str, ttl: float) -> bool:
        return await self.slowly() and await super().renew(owner, ttl)

    async def claim_runs(self, *asked: Any, **options: Any) -> list[LoadedRun]:
        await self.slowly()
        return await super().claim_runs(*asked, **options)

    async def cancel_requests(self, owner: str) -> list[str]:
        await self.slowly()
        return await super().cancel_requests(owner)

    async def next_due(self, now: float) -> float | None:
        await self.slowly()
        return await super().next_due(now)

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        await self.slowly()
        return await super().commit(changes)

    async def slowly(self) -> bool:
        await asyncio.sleep(2)
        return True


class OutOfStep(VirtualClock):
    """A machine whose wall clock is off."""

    def __init__(self, off: float) -> None:
        super().__init__()
        self.off = off

    def now(self) -> float:
        return super().now() + self.off


class World:
    """One store and one place to run at, for any number of schedulers."""

    def __init__(self, store: type[MemoryStore] = MemoryStore) -> None:
        self.clock = VirtualClock()
        self.data, self.kind = MemoryData(), store
        self.executions: dict[str, InlineExecution] = {}
        self.store = MemoryStore(clock=self.clock, data=self.data)
        self.client = Client(self.store, self.clock, SystemIds(), TaskSpawner())
        self.spawner = TaskSpawner()

    async def scheduler(self, clock: VirtualClock | None = None) -> Scheduler:
        """One that dies without a word with ``spawner``."""
        store = self.kind(clock=self.clock, data=self.data)
        executor = InlineExecutor(clock or self.clock, executions=self.executions)
        started = Scheduler(
            store, executor, clock=clock or self.clock, ids=SystemIds(), spawner=self.spawner, call=call_condition
        )
        await started.start()
        return started

    async def finished(self, run_id: str, within: float) -> Run:
        async with asyncio.timeout(within):
            while not (run := await self.client.run(run_id)).status.final:
                await self.clock.sleep(1)
        await self.spawner.close()
        return run

    async def attempts(self, run_id: str) -> list[int]:
        return [execution.attempt async for execution in self.client.executions(run_id)]


@pytest.mark.fault("C7")
def test_without_any_hint_everything_happens_at_the_pace_of_polling() -> None:
    async def scenario() -> None:
        world = World(Silent)
        await world.scheduler()
        await world.clock.sleep(10)
        run_id = await world.client.enqueue(naps(), delay=5)
        run = await world.finished(run_id, within=200)
        assert (run.status, run.output) == (RunStatus.SUCCEEDED, [1, 2, 3])
        assert run.started_at is not None and run.started_at - run.not_before < 1.1

    run_virtual(scenario())


@pytest.mark.fault("C5")
def test_a_store_that_takes_two_seconds_for_every_answer_costs_time_and_no_lease() -> None:
    async def scenario() -> None:
        world = World(Slow)
        first = await world.scheduler()
        run_id = await world.client.enqueue(naps())
        await world.clock.sleep(30)
        await world.scheduler()  # who would take what the first one lost
        run = await world.finished(run_id, within=300)
        assert (run.status, run.output) == (RunStatus.SUCCEEDED, [1, 2, 3])
        assert run.epoch == 1 and first.kept == 0
        assert await world.attempts(run_id) == [1, 1, 1, 1]

    run_virtual(scenario())


@pytest.mark.fault("B8")
def test_a_job_that_runs_for_hours_under_a_lease_of_seconds_is_started_once() -> None:
    async def scenario() -> None:
        world = World()
        await world.scheduler()
        run_id = await world.client.enqueue(Nap(minutes=120))
        await world.scheduler()
        run = await world.finished(run_id, within=7300)
        assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 1)
        assert len(world.executions) == 1

    run_virtual(scenario())


@pytest.mark.fault("B4")
@pytest.mark.parametrize(("first", "second"), [(600, -600), (-600, 600)])
def test_clocks_that_are_twenty_minutes_apart_start_nothing_twice(first: float, second: float) -> None:
    async def scenario() -> None:
        world = World()
        await world.scheduler(OutOfStep(first))
        run_id = await world.client.enqueue(naps())
        await world.clock.sleep(30)
        owner = (await world.client.run(run_id)).owner
        other = await world.scheduler(OutOfStep(second))
        await world.clock.sleep(2 * LEASE)
        assert (await world.client.run(run_id)).owner == owner  # a live owner's run is nobody else's
        await world.spawner.close()
        await world.scheduler(OutOfStep(second))
        await world.clock.sleep(LEASE + 2)
        assert (await world.client.run(run_id)).owner not in (owner, other.owner)
        run = await world.finished(run_id, within=300)
        assert (run.status, run.output, len(world.executions)) == (RunStatus.SUCCEEDED, [1, 2, 3], 4)

    run_virtual(scenario())


@pytest.mark.fault("B6")
def test_an_owner_that_changes_every_five_seconds_for_an_hour_costs_nothing_but_time() -> None:
    wf = Workflow("chain")
    before = wf.add("n0", Nap(minutes=5))
    for number in range(1, 12):
        before = wf.add(f"n{number}", Nap(minutes=5), after=[before])
    with VirtualEngine() as engine:
        run = engine.enqueue(wf)
        for _ in range(720):
            engine.restart(after=5)
        engine.advance(minutes=2)
        assert run.succeeded
        assert [(node.attempts, node.lines) for node in run.result.nodes.values()] == [(1, ["dozing off"])] * 12


@pytest.mark.fault("A3")
def test_what_was_enqueued_while_nobody_looked_is_started_by_the_next_scheduler() -> None:
    async def scenario() -> None:
        world = World()
        run_id = await world.client.enqueue(naps())
        await world.clock.sleep(3600)
        await world.scheduler()
        run = await world.finished(run_id, within=200)
        assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 1)

    run_virtual(scenario())

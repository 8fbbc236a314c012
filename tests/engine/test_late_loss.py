"""A keeper that hears late that its run was lost, when its own scheduler has the run again."""

import asyncio
from collections.abc import Callable, Sequence

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import LEASE, Scheduler
from klassd.workflows.errors import StoreError
from klassd.workflows.model.run import Change
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual
from klassd.workflows.testing.inline import InlineExecution


class Talks(Job):
    async def run(self, ctx: JobContext) -> None:
        while True:
            ctx.log("still here")
            await asyncio.sleep(1.0)


class Handle(MemoryStore):
    """``down``: nothing is renewed and nothing committed; ``slow``: nothing of the first owner's console is."""

    down = slow = False

    async def renew(self, owner: str, ttl: float) -> bool:
        if self.down:
            raise StoreError("no route to it")
        return await super().renew(owner, ttl)

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        if self.down or (self.slow and any(change.logs and change.epoch == 1 for change in changes)):
            raise StoreError("no route to it")
        return await super().commit(changes)


def test_a_keeper_that_hears_late_of_its_loss_does_not_take_its_successor_with_it() -> None:
    async def scenario() -> None:
        clock, data = VirtualClock(), MemoryData()
        executions: dict[str, InlineExecution] = {}
        cut_off = Handle(clock=clock, data=data)
        async with Client(MemoryStore(clock=clock, data=data), clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Talks())
            async with scheduler(cut_off, clock, executions) as one:
                await until(clock, lambda: executions)
                cut_off.down = True
                await clock.sleep(2 * LEASE)
                async with scheduler(MemoryStore(clock=clock, data=data), clock, executions) as other:
                    await until(clock, lambda: other.kept)
                cut_off.down, cut_off.slow = False, True
                await until(clock, lambda: data.runs[run_id].epoch == 3)
                cut_off.slow = False
                await clock.sleep(LEASE)
                assert one.kept == 1
                await client.cancel(run_id)
                async with asyncio.timeout(60):
                    assert (await client.wait(run_id)).status is RunStatus.CANCELLED

    run_virtual(scenario())


async def until(clock: VirtualClock, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(600):
        while not condition():
            await clock.sleep(0.1)


def scheduler(store: MemoryStore, clock: VirtualClock, executions: dict[str, InlineExecution]) -> Scheduler:
    executor = InlineExecutor(clock, executions=executions)
    return Scheduler(store, executor, clock=clock, ids=SystemIds(), spawner=TaskSpawner(), call=call_condition)

"""A decision that changes nothing is written nowhere."""

import asyncio
from collections.abc import Sequence

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.model.run import Change
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Stubborn(Job, grace="60s"):
    async def run(self, ctx: JobContext) -> None:
        while True:
            try:
                await asyncio.sleep(1e9)
            except asyncio.CancelledError:
                ctx.log("no")


class Counting(MemoryStore):
    commits = 0

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        self.commits += 1
        return await super().commit(changes)


def test_a_run_that_waits_for_a_stubborn_job_to_be_killed_is_not_written_again_and_again() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = Counting(clock=clock), InlineExecutor(clock)
        scheduler = Scheduler(store, executor, clock=clock, ids=SystemIds(), spawner=TaskSpawner(), call=call_condition)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Stubborn())
            async with scheduler:
                await clock.sleep(5.0)
                await client.cancel(run_id)
                await clock.sleep(5.0)
                before = store.commits
                await clock.sleep(40.0)
                assert store.commits == before
                assert (await client.wait(run_id)).status is RunStatus.CANCELLED

    run_virtual(scenario())

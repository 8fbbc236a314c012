"""A claim whose answer was lost gave runs to a scheduler that has never heard of them."""

import asyncio
from typing import Any

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import LEASE, Scheduler
from klassd.workflows.errors import StoreError
from klassd.workflows.model.run import LoadedRun
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Greets(Job):
    def run(self, ctx: JobContext) -> str:
        return "hello"


class Deaf(MemoryStore):
    """Loses the answer to the first claim that gives something."""

    heard = True

    async def claim_runs(self, *asked: Any, **options: Any) -> list[LoadedRun]:
        claimed = await super().claim_runs(*asked, **options)
        if self.heard and claimed:
            self.heard = False
            raise StoreError("the answer was lost")
        return claimed


def test_runs_of_a_claim_whose_answer_was_lost_are_kept_all_the_same() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store = Deaf(clock=clock)
        scheduler = Scheduler(
            store, InlineExecutor(clock), clock=clock, ids=SystemIds(), spawner=TaskSpawner(), call=call_condition
        )
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Greets())
            async with scheduler, asyncio.timeout(LEASE / 2):
                run = await client.wait(run_id)
        assert not store.heard
        assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 1)

    run_virtual(scenario())

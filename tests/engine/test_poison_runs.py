"""A run that no scheduler can make sense of ends with that; the others go on."""

import asyncio
from collections.abc import Sequence

import pytest

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.errors import StoreError
from klassd.workflows.model.run import Change, Run
from klassd.workflows.model.states import RunStatus
from klassd.workflows.ports import NewRun
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Fine(Job):
    def run(self, ctx: JobContext) -> int:
        return 1


class AwayAtFirst(MemoryStore):
    refused = 0

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        if self.refused < 2:
            self.refused += 1
            raise StoreError("the disk is away")
        return await super().commit(changes)


@pytest.mark.fault("A16")
def test_a_run_whose_definition_nobody_can_read_fails_with_that_and_the_others_go_on() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, ids = AwayAtFirst(clock=clock), SystemIds()
        async with Client(store, clock, ids, TaskSpawner()) as client:
            poison = Run(
                id=ids.run_id(clock.now()), name="poison", kind="workflow", definition="of-the-future", created_at=clock.now()
            )
            await store.enqueue([NewRun(run=poison, definition=b'{"nodes": "another shape"}')])
            fine = await client.enqueue(Fine())
            async with Scheduler(
                store, InlineExecutor(clock), clock=clock, ids=ids, spawner=TaskSpawner(), call=call_condition
            ):
                async with asyncio.timeout(600):
                    assert (await client.wait(fine)).status is RunStatus.SUCCEEDED
                    ended = await client.wait(poison.id)
        assert ended.status is RunStatus.FAILED
        assert ended.error is not None and ended.error.startswith("its definition cannot be read by this version: ")

    run_virtual(scenario())

"""An execution that waits for a slot: stored with the slot where it comes soon, as waiting where it does not."""

import asyncio
from collections.abc import Sequence

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.pipeline import SLOT
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.model.run import Change, Execution
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Busy(Job):
    seconds: float

    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(self.seconds)


class Noting(MemoryStore):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.first: dict[str, ExecutionStatus] = {}  # what the row of a run's execution was inserted as

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        self.first.update({change.run_id: row.status for change in changes for row in change.started})
        return await super().commit(changes)


async def _rows(client: Client, run_id: str) -> list[Execution]:
    return [execution async for execution in client.executions(run_id)]


def _second_of_two(first_takes: float, look_after: float) -> tuple[ExecutionStatus, list[Execution]]:
    """What the second's row was inserted as, and what stood of it so many seconds after both were enqueued."""
    seen: list[Execution] = []
    first: dict[str, ExecutionStatus] = {}

    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = Noting(clock), InlineExecutor(clock, concurrency=1)
        scheduler = Scheduler(store, executor, clock=clock, ids=SystemIds(), spawner=TaskSpawner(), call=call_condition)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            one = await client.enqueue(Busy(seconds=first_takes))
            await clock.sleep(1.0)  # the older one goes first
            two = await client.enqueue(Busy(seconds=0.0))
            async with scheduler:
                await clock.sleep(look_after)
                seen.extend(await _rows(client, two))
                await client.wait(one)
                await client.wait(two)
                first["of two"] = store.first[two]

    run_virtual(scenario())
    return first["of two"], seen


def test_a_slot_that_comes_soon_is_stored_with_what_waited_for_it() -> None:
    inserted_as, _ = _second_of_two(first_takes=SLOT / 2, look_after=0.0)
    assert inserted_as is ExecutionStatus.STARTING


def test_what_waits_longer_can_be_seen_waiting() -> None:
    inserted_as, seen = _second_of_two(first_takes=60.0, look_after=2 * SLOT)
    assert inserted_as is ExecutionStatus.QUEUED
    assert [execution.status for execution in seen] == [ExecutionStatus.QUEUED]

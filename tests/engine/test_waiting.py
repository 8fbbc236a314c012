"""What an execution waits for before its start: kept while it waits, and no longer."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from test_keeper_take_over import scheduler, until

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.errors import LaunchDelayed
from klassd.workflows.model.execution import Told, Waiting
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import ExecutionStatus, RunStatus
from klassd.workflows.order import Order
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Waits(Job):
    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(1e9)


class Full(InlineExecutor):
    """Has no room at first, and is slow to start what it took."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.room, self.image = asyncio.Event(), asyncio.Event()

    async def launch(self, order: Order) -> None:
        if not self.room.is_set():
            raise LaunchDelayed("exceeded quota", 1.0)
        await super().launch(order)

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        yield [Waiting(why="pulling its image")]
        await self.image.wait()
        async for batch in super().follow(execution_id, cursor, seq, line):
            yield batch


def test_what_an_execution_waits_for_is_kept_until_it_starts() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = MemoryStore(clock=clock), Full(clock)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Waits())
            seen: list[Execution] = []

            async def waits_for(why: str | None) -> Execution:
                while True:
                    view = await client.view(run_id)
                    found = view.nodes[0].executions
                    if found and found[0].waiting == why:
                        return found[0]
                    await clock.sleep(0.1)

            async with scheduler(store, executor, clock, TaskSpawner()):
                seen.append(await waits_for("exceeded quota"))
                executor.room.set()
                seen.append(await waits_for("pulling its image"))
                executor.image.set()
                seen.append(await waits_for(None))
                await client.cancel(run_id)
                await until(clock, lambda: next(iter(executor.executions.values())).reaped)
            assert [each.status for each in seen] == [
                ExecutionStatus.STARTING,
                ExecutionStatus.STARTING,
                ExecutionStatus.RUNNING,
            ]
            assert (await client.run(run_id)).status is RunStatus.CANCELLED

    run_virtual(scenario())

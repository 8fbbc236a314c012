"""A start deadline stops what starts too late; that is its cause, and nobody's request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from klassd.workflows import Job, JobContext, Retry
from klassd.workflows.client import Client, NodeView
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.model.execution import Exit, Finished, Told, Unknown, Waiting
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, ExecutionStatus, RunStatus
from klassd.workflows.order import Order
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Waits(Job, start_deadline="1s", retry=Retry(1, backoff="1s")):
    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(1e9)


class Late(InlineExecutor):
    """Its answer to a first attempt arrives after the deadline; by then the job runs, unheard."""

    async def launch(self, order: Order) -> None:
        await super().launch(order)
        if order.attempt == 1:
            await asyncio.sleep(2.0)


async def nodes_of_a_late_start() -> list[NodeView]:
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    scheduler = Scheduler(store, Late(clock), clock=clock, ids=SystemIds(), spawner=TaskSpawner(), call=call_condition)
    async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
        run_id = await client.enqueue(Waits())
        async with scheduler:
            await clock.sleep(60.0)
            view = await client.view(run_id)
            assert view.run.status is RunStatus.RUNNING
            return view.nodes


def test_a_job_that_was_stopped_for_starting_late_failed_for_that_and_is_tried_again() -> None:
    (node,) = run_virtual(nodes_of_a_late_start())
    first, second = node.executions
    assert (first.status, first.cause) == (ExecutionStatus.FAILED, Cause.START_DEADLINE)
    assert first.error == "it did not start within 1 s"
    assert second.status is ExecutionStatus.RUNNING


@asynccontextmanager
async def launched(make: Callable[[VirtualClock], InlineExecutor]) -> AsyncIterator[tuple[VirtualClock, Client, str]]:
    """A run of ``Waits`` that a scheduler has taken."""
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    parts = {"clock": clock, "ids": SystemIds(), "spawner": TaskSpawner(), "call": call_condition}
    async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
        run_id = await client.enqueue(Waits())
        async with Scheduler(store, make(clock), **parts):
            yield clock, client, run_id


async def first(client: Client, run_id: str) -> Execution:
    return (await client.view(run_id)).nodes[0].executions[0]


class Held(InlineExecutor):
    """A queue holds it back for an hour, and lets it start ``slow`` seconds after that."""

    def __init__(self, clock: VirtualClock, slow: float) -> None:
        super().__init__(clock)
        self._time, self._slow = clock, slow

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        await self._time.sleep(0.5)
        yield [Waiting(why="a queue holds it back", held=True)]
        await self._time.sleep(3600.0)
        yield [Waiting(why="there is no pod yet")]
        await self._time.sleep(self._slow)
        async for batch in super().follow(execution_id, cursor, seq, line):
            yield batch


@pytest.mark.fault("E27")
@pytest.mark.parametrize(("slow", "status"), [(0.4, ExecutionStatus.RUNNING), (0.6, ExecutionStatus.FAILED)])
def test_the_time_to_start_in_stands_still_while_a_queue_of_the_cluster_holds_it_back(
    slow: float, status: ExecutionStatus
) -> None:
    async def scenario() -> None:
        async with launched(lambda clock: Held(clock, slow)) as (clock, client, run_id):
            await clock.sleep(3602.0)
            execution = await first(client, run_id)
            assert execution.status is status
            assert execution.cause in (None, Cause.START_DEADLINE)

    run_virtual(scenario())


class GoneOnceStopped(InlineExecutor):
    """Nothing starts there: all that is told is ``news``, and, once it is told to stop, that it is gone."""

    def __init__(self, clock: VirtualClock, news: Told) -> None:
        super().__init__(clock)
        self._news, self._stopped = news, asyncio.Event()

    async def stop(self, execution_id: str, grace: float) -> None:
        self._stopped.set()

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        yield [self._news]
        await self._stopped.wait()
        yield [Finished(exit=Exit(reason=Cause.LOST, message="it was deleted, before it started"))]


OUT_OF_SIGHT = Unknown(since=1.0, why="its node has not answered")
HELD_FOR_EVER = Waiting(why="a queue holds it back", held=True)


def test_what_was_out_of_sight_when_its_deadline_passed_failed_for_that_once_it_is_known_to_be_over() -> None:
    async def scenario() -> None:
        async with launched(lambda clock: GoneOnceStopped(clock, OUT_OF_SIGHT)) as (clock, client, run_id):
            await clock.sleep(1.5)
            assert (await first(client, run_id)).cause is Cause.START_DEADLINE

    run_virtual(scenario())


def under_way() -> list[str]:
    return [task.get_coro().__name__ for task in asyncio.all_tasks()]


def test_nobody_watches_any_more_over_the_start_of_what_ended_while_it_was_held_back() -> None:
    async def scenario() -> None:
        async with launched(lambda clock: GoneOnceStopped(clock, HELD_FOR_EVER)) as (clock, client, run_id):
            await clock.sleep(10.0)
            assert "watch_start" in under_way()
            await client.cancel(run_id)
            await clock.sleep(10.0)
            assert (await first(client, run_id)).status.final
            assert "watch_start" not in under_way()

    run_virtual(scenario())

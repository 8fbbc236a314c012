"""A start deadline stops what starts too late; that is its cause, and nobody's request."""

import asyncio

from klassd.workflows import Job, JobContext, Retry
from klassd.workflows.client import Client, NodeView
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
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

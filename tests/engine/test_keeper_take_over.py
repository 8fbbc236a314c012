"""What the next owner makes of executions that an earlier one left in the middle of something."""

import asyncio

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.model.states import ExecutionStatus, RunStatus
from klassd.workflows.order import Order
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual
from klassd.workflows.testing.inline import InlineExecution


class Waits(Job):
    """Until it is stopped."""

    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(1e9)


class DiesAtLaunch(InlineExecutor):
    """The scheduler dies with its launch: ``took_effect`` says whether the job had been started by then."""

    took_effect = True

    def __init__(self, clock: VirtualClock, executions: dict[str, InlineExecution]) -> None:
        super().__init__(clock, executions=executions)
        self.died = asyncio.Event()

    async def launch(self, order: Order) -> None:
        if self.took_effect:
            await super().launch(order)
        self.died.set()
        await asyncio.Event().wait()


class DiesBeforeLaunch(DiesAtLaunch):
    took_effect = False


def test_a_job_that_was_launched_but_not_heard_of_is_dead_before_its_run_is_cancelled() -> None:
    async def scenario() -> None:
        status, executions = await cancelled_after_a_death(DiesAtLaunch)
        (execution,) = executions.values()
        assert status is RunStatus.CANCELLED
        assert execution.end is not None
        assert execution.end.requested == "stop"

    run_virtual(scenario())


def test_a_job_that_was_not_launched_yet_never_starts_when_its_run_is_cancelled() -> None:
    async def scenario() -> None:
        status, executions = await cancelled_after_a_death(DiesBeforeLaunch)
        assert status is RunStatus.CANCELLED
        assert executions == {}

    run_virtual(scenario())


async def cancelled_after_a_death(executor: type[DiesAtLaunch]) -> tuple[RunStatus, dict[str, InlineExecution]]:
    """One scheduler dies at its launch, the run is cancelled, the next takes over: what stands when the run is final."""
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    executions: dict[str, InlineExecution] = {}
    first = executor(clock, executions)
    async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
        run_id = await client.enqueue(Waits())
        spawner = TaskSpawner()
        await scheduler(store, first, clock, spawner).start()
        await first.died.wait()
        await spawner.close()
        await first.close()
        (execution,) = (await client.view(run_id)).nodes[0].executions
        assert execution.status is ExecutionStatus.STARTING
        await client.cancel(run_id)
        async with scheduler(store, InlineExecutor(clock, executions=executions), clock, TaskSpawner()):
            while not (run := await client.run(run_id)).status.final:
                await clock.sleep(0.1)
            return run.status, executions


def scheduler(store: MemoryStore, executor: InlineExecutor, clock: VirtualClock, spawner: TaskSpawner) -> Scheduler:
    return Scheduler(store, executor, clock=clock, ids=SystemIds(), spawner=spawner, call=call_condition)

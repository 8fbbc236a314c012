"""What the next owner makes of executions that an earlier one left in the middle of something, and of a world that fails it."""

import asyncio
from collections.abc import Callable

import pytest

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.errors import StoreError
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


class Naps(Job):
    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(10)


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


@pytest.mark.fault("A11")
def test_a_job_that_was_launched_but_not_heard_of_is_dead_before_its_run_is_cancelled() -> None:
    async def scenario() -> None:
        status, executions = await cancelled_after_a_death(DiesAtLaunch)
        (execution,) = executions.values()
        assert status is RunStatus.CANCELLED
        assert execution.end is not None
        assert execution.end.requested == "stop"

    run_virtual(scenario())


@pytest.mark.fault("A11")
def test_a_job_that_was_not_launched_yet_never_starts_when_its_run_is_cancelled() -> None:
    async def scenario() -> None:
        status, executions = await cancelled_after_a_death(DiesBeforeLaunch)
        assert status is RunStatus.CANCELLED
        assert executions == {}

    run_virtual(scenario())


class Unreliable(InlineExecutor):
    """Each verb fails the first time it is asked."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.failed: set[str] = set()

    async def launch(self, order: Order) -> None:
        self.fail("launch")
        await super().launch(order)

    async def stop(self, execution_id: str, grace: float) -> None:
        self.fail("stop")
        await super().stop(execution_id, grace)

    async def reap(self, execution_id: str) -> None:
        self.fail("reap")
        await super().reap(execution_id)

    def fail(self, verb: str) -> None:
        if verb not in self.failed:
            self.failed.add(verb)
            raise ConnectionError(f"{verb}: nobody answers")


def test_what_an_executor_could_not_do_for_lack_of_an_answer_is_asked_again() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = MemoryStore(clock=clock), Unreliable(clock)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Waits())
            async with scheduler(store, executor, clock, TaskSpawner()):
                await until(clock, lambda: executor.executions)
                await client.cancel(run_id)
                (execution,) = executor.executions.values()
                await until(clock, lambda: execution.reaped)
                assert (await client.run(run_id)).status is RunStatus.CANCELLED
        assert executor.failed == {"launch", "stop", "reap"}

    run_virtual(scenario())


class Forgetful(MemoryStore):
    """Does not know where a console was left, the first time it is asked."""

    asked = False

    async def log_cursor(self, execution_id: str) -> tuple[str, int, int]:
        if not self.asked:
            self.asked = True
            raise StoreError("the disk is away")
        return await super().log_cursor(execution_id)


@pytest.mark.fault("C4")
def test_a_store_that_is_away_while_a_console_is_taken_over_fails_no_run() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store = Forgetful(clock=clock)
        executor = InlineExecutor(clock)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Naps())
            async with scheduler(store, executor, clock, TaskSpawner()):
                await clock.sleep(1.0)
            async with scheduler(store, InlineExecutor(clock, executions=executor.executions), clock, TaskSpawner()):
                async with asyncio.timeout(600):
                    run = await client.wait(run_id)
        assert store.asked
        assert run.status is RunStatus.SUCCEEDED

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
            async with asyncio.timeout(600):
                return (await client.wait(run_id)).status, executions


async def until(clock: VirtualClock, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(600):
        while not condition():
            await clock.sleep(0.1)


def scheduler(store: MemoryStore, executor: InlineExecutor, clock: VirtualClock, spawner: TaskSpawner) -> Scheduler:
    return Scheduler(store, executor, clock=clock, ids=SystemIds(), spawner=spawner, call=call_condition)

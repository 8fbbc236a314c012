"""An execution of which nobody can tell whether it runs: it is waited for, or given up when its job says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import pytest
from test_keeper_take_over import scheduler

from klassd.workflows import Job, JobContext, Retry
from klassd.workflows.client import Client
from klassd.workflows.model.execution import Told, Unknown
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, ExecutionStatus, RunStatus
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual

HOUR = 3600.0


class Long(Job, retry=Retry(0, infrastructure=1, backoff=0)):
    async def run(self, ctx: JobContext) -> int:
        await asyncio.sleep(3 * HOUR)
        return ctx.fencing_token


class Impatient(Long, lost_after="10m"):
    pass


class Distant(InlineExecutor):
    """Of a first attempt nothing is heard while ``since`` is set; it runs on."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.since: float | None = None
        self.asked = self.unanswered = 0
        self._changed = asyncio.Event()

    def falls_silent(self, since: float | None) -> None:
        self.since = since
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def unknown_since(self, execution_id: str) -> float | None:
        self.asked += 1
        if self.unanswered:
            self.unanswered -= 1
            raise TimeoutError("no answer")
        return self.since

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        said: float | None = None
        heard = super().follow(execution_id, cursor, seq, line)
        first = execution_id.endswith("-1")
        batch = asyncio.ensure_future(anext(heard, None))
        while True:
            changed = asyncio.ensure_future(self._changed.wait())
            if first and self.since != said:
                said = self.since
                yield [Unknown(since=said, why="whether it still runs is unknown" if said else "")]
            silent = first and self.since is not None
            await asyncio.wait({changed} if silent else {batch, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if batch.done() and not silent:
                if (told := batch.result()) is None:
                    return
                yield told
                batch = asyncio.ensure_future(anext(heard, None))


class Scene:
    """One run on a scheduler, and an executor that loses sight of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(clock=self.clock)
        self.executor = Distant(self.clock)
        self.client = Client(self.store, self.clock, SystemIds(), TaskSpawner())

    def scheduler(self):
        return scheduler(self.store, self.executor, self.clock, TaskSpawner())

    async def begun(self, job: Job) -> str:
        run_id = await self.client.enqueue(job)
        await self.clock.sleep(1.0)
        return run_id

    async def attempts(self, run_id: str) -> list[Execution]:
        return (await self.client.view(run_id)).nodes[0].executions

    async def status(self, run_id: str) -> RunStatus:
        return (await self.client.run(run_id)).status


def played(job: Job, scenario: Callable[[Scene, str], Coroutine[Any, Any, None]]) -> None:
    """With a run of the job that has begun."""

    async def play() -> None:
        scene = Scene()
        async with scene.client, scene.scheduler():
            await scenario(scene, await scene.begun(job))

    run_virtual(play())


@pytest.mark.fault("E14")
def test_without_a_policy_it_is_waited_for_for_ever_and_shown_as_unknown() -> None:
    async def scenario(scene: Scene, run_id: str) -> None:
        scene.executor.falls_silent(1.0)
        await scene.clock.sleep(4 * HOUR)
        (only,) = await scene.attempts(run_id)
        assert (only.status, only.waiting) == (ExecutionStatus.RUNNING, "whether it still runs is unknown")
        scene.executor.falls_silent(None)
        await scene.clock.sleep(1.0)
        (only,) = await scene.attempts(run_id)
        assert (only.status, only.waiting) == (ExecutionStatus.SUCCEEDED, None)
        assert scene.executor.asked == 0

    played(Long(), scenario)


@pytest.mark.fault("E14")
def test_one_that_stays_unknown_for_as_long_as_its_job_allows_is_lost_and_tried_again() -> None:
    async def scenario(scene: Scene, run_id: str) -> None:
        scene.executor.falls_silent(1.0)
        await scene.clock.sleep(599.0)
        assert len(await scene.attempts(run_id)) == 1
        await scene.clock.sleep(2.0)
        first, second = await scene.attempts(run_id)
        assert (first.status, first.cause, first.waiting) == (ExecutionStatus.FAILED, Cause.LOST, None)
        assert first.error == "whether it still runs is unknown; given up after 600 s of that (lost_after)"
        assert second.status is ExecutionStatus.RUNNING
        orders = [each.order for each in scene.executor.executions.values()]
        assert orders[0].fencing_token < orders[1].fencing_token
        assert scene.executor.executions[first.id].reaped
        scene.executor.falls_silent(None)  # too late: what it comes to now is nobody's any more
        await scene.clock.sleep(4 * HOUR)
        first, second = await scene.attempts(run_id)
        assert (first.status, second.status) == (ExecutionStatus.FAILED, ExecutionStatus.SUCCEEDED)

    played(Impatient(), scenario)


@pytest.mark.fault("E14")
def test_one_that_is_seen_again_in_time_goes_on() -> None:
    async def scenario(scene: Scene, run_id: str) -> None:
        for spell in range(1, 5):
            scene.executor.falls_silent(float(spell))
            await scene.clock.sleep(590.0)
            scene.executor.falls_silent(None)
            await scene.clock.sleep(60.0)
        (only,) = await scene.attempts(run_id)
        assert (only.status, only.waiting) == (ExecutionStatus.RUNNING, None)

    played(Impatient(), scenario)


@pytest.mark.fault("E14")
def test_what_was_told_is_asked_anew_before_anything_is_given_up() -> None:
    async def scenario(scene: Scene, run_id: str) -> None:
        scene.executor.falls_silent(1.0)
        await scene.clock.sleep(300.0)
        scene.executor.since = 2.0  # it was back and is gone again, and nobody was told
        await scene.clock.sleep(1 * HOUR)
        assert len(await scene.attempts(run_id)) == 1 and scene.executor.asked == 1

    played(Impatient(), scenario)


@pytest.mark.fault("E14")
def test_a_cluster_that_does_not_answer_is_asked_until_it_does() -> None:
    async def scenario(scene: Scene, run_id: str) -> None:
        scene.executor.unanswered = 30
        scene.executor.falls_silent(1.0)
        await scene.clock.sleep(625.0)
        assert len(await scene.attempts(run_id)) == 1
        await scene.clock.sleep(10.0)
        assert len(await scene.attempts(run_id)) == 2

    played(Impatient(), scenario)


@pytest.mark.fault("E14")
def test_the_next_owner_knows_it_and_waits_anew() -> None:
    async def scenario() -> None:
        scene = Scene()
        async with scene.client:
            async with scene.scheduler():
                run_id = await scene.begun(Impatient())
                scene.executor.falls_silent(1.0)
                await scene.clock.sleep(500.0)
            async with scene.scheduler():
                await scene.clock.sleep(500.0)
                (only,) = await scene.attempts(run_id)
                assert only.waiting
                await scene.clock.sleep(110.0)
                assert len(await scene.attempts(run_id)) == 2

    run_virtual(scenario())


@pytest.mark.fault("E14")
def test_the_next_owner_forgets_it_where_it_is_known_again() -> None:
    async def scenario() -> None:
        scene = Scene()
        async with scene.client:
            async with scene.scheduler():
                run_id = await scene.begun(Impatient())
                scene.executor.falls_silent(1.0)
                await scene.clock.sleep(10.0)
            scene.executor.falls_silent(None)
            async with scene.scheduler():
                await scene.clock.sleep(10.0)
                (only,) = await scene.attempts(run_id)
                assert (only.status, only.waiting) == (ExecutionStatus.RUNNING, None)

    run_virtual(scenario())


@pytest.mark.fault("E14")
@pytest.mark.parametrize(("job", "comes_to"), [(Impatient(), RunStatus.CANCELLED), (Long(), RunStatus.CANCELLING)])
def test_a_cancelled_run_ends_no_sooner_than_its_policy_says(job: Job, comes_to: RunStatus) -> None:
    async def scenario(scene: Scene, run_id: str) -> None:
        scene.executor.stop = lambda execution_id, grace: asyncio.sleep(0)  # type: ignore[method-assign]  # it does not arrive
        scene.executor.falls_silent(1.0)
        await scene.client.cancel(run_id)
        await scene.clock.sleep(590.0)
        assert await scene.status(run_id) is RunStatus.CANCELLING
        await scene.clock.sleep(20.0)
        assert await scene.status(run_id) is comes_to

    played(job, scenario)

"""Retention: what finished longer ago than it is kept goes, artifacts first, and nothing else does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from klassd.workflows import Artifact, Job, JobContext, Workflow
from klassd.workflows.client import Client, RunQuery
from klassd.workflows.engine.sweeper import BATCH, FIRST, SWEEP, Sweeper
from klassd.workflows.errors import ArtifactError, StoreError
from klassd.workflows.model.run import Run
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import VirtualClock, run_virtual

DAY = 86_400.0
KEPT = 30 * DAY


class Nothing(Job):
    def run(self, ctx: JobContext) -> None: ...


class Failing(MemoryStore):
    """Does not answer the first ``failures`` times that runs are to be removed; the effect is there all the same."""

    failures = 0

    async def prune(self, run_ids: Sequence[str]) -> list[str]:
        pruned = await super().prune(run_ids)
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is away")
        return pruned


class Jumping(VirtualClock):
    """Its wall time may be set."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class World:
    def __init__(self) -> None:
        self.clock = Jumping()
        self.store = Failing(clock=self.clock)
        self.client = Client(self.store, self.clock, SystemIds(), TaskSpawner())
        self.deleted: list[list[str]] = []
        self.refused: set[str] = set()

    async def finished(self) -> str:
        run_id = await self.client.enqueue(Nothing())
        assert await self.client.cancel(run_id)
        return run_id

    async def ids(self) -> set[str]:
        return {run.id for run in (await self.client.runs(RunQuery(limit=1000))).items}

    async def delete(self, runs: Sequence[Run]) -> None:
        assert {run.id for run in runs} <= await self.ids(), "of a run that nobody knows any more"
        if refused := self.refused & {run.id for run in runs}:
            raise ArtifactError(f"{min(refused)} is not ours to delete")
        self.deleted.append([run.id for run in runs])

    def sweeper(self) -> Sweeper:
        return Sweeper(self.store, self.clock, KEPT, self.delete)


def swept(scenario: Callable[[World], Coroutine[Any, Any, None]], sweepers: int = 1) -> World:
    async def play() -> World:
        world, spawner = World(), TaskSpawner()
        async with world.client:
            for _ in range(sweepers):
                spawner.spawn(world.sweeper().keep(), "retention")
            await scenario(world)
            await spawner.close()
        return world

    return run_virtual(play())


def test_a_run_goes_once_it_finished_longer_ago_than_it_is_kept_and_its_artifacts_before_it() -> None:
    async def scenario(world: World) -> None:
        old = await world.finished()
        await world.clock.sleep(DAY)
        young, queued = await world.finished(), await world.client.enqueue(Nothing())
        await world.clock.sleep(KEPT - DAY)
        assert await world.ids() == {old, young, queued}
        await world.clock.sleep(SWEEP)
        assert await world.ids() == {young, queued} and world.deleted == [[old]]
        await world.clock.sleep(DAY + SWEEP)
        assert await world.ids() == {queued} and world.deleted == [[old], [young]]

    swept(scenario)


def test_a_scheduler_that_has_just_started_has_better_things_to_do() -> None:
    async def scenario(world: World) -> None:
        old = await world.finished()
        await world.clock.sleep(KEPT + 1)
        spawner = TaskSpawner()
        spawner.spawn(world.sweeper().keep(), "retention")
        await world.clock.sleep(FIRST - 1)
        assert await world.ids() == {old}
        await world.clock.sleep(2)
        assert await world.ids() == set()
        await spawner.close()

    swept(scenario, sweepers=0)


def test_many_go_in_batches_the_oldest_first() -> None:
    async def scenario(world: World) -> None:
        ids = []
        for _ in range(2 * BATCH + 1):
            ids.append(await world.finished())
            await world.clock.sleep(0.001)
        await world.clock.sleep(KEPT + SWEEP)
        assert await world.ids() == set()
        assert world.deleted == [ids[:BATCH], ids[BATCH : 2 * BATCH], ids[2 * BATCH :]]

    swept(scenario)


@pytest.mark.fault("A9")
def test_two_schedulers_that_sweep_at_once_remove_it_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        await world.finished()
        kept = await world.client.enqueue(Nothing())
        await world.clock.sleep(KEPT + 2 * SWEEP)
        assert await world.ids() == {kept}

    swept(scenario, sweepers=2)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.fault("B5")
@pytest.mark.parametrize("ahead", [100 * KEPT, -100 * KEPT])
def test_a_clock_that_is_set_wrong_makes_no_run_old(ahead: float) -> None:
    async def scenario(world: World) -> None:
        young = await world.finished()
        await world.clock.sleep(DAY)
        world.clock.ahead = ahead
        await world.clock.sleep(DAY)
        assert await world.ids() == {young}
        world.clock.ahead = 0.0
        await world.clock.sleep(KEPT - 2 * DAY + 2 * SWEEP)
        assert await world.ids() == set()

    swept(scenario)


def test_a_store_that_does_not_answer_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        world.store.failures = 1
        for _ in range(BATCH + 1):
            await world.finished()
        await world.clock.sleep(KEPT + SWEEP)
        assert len(await world.ids()) == 1
        await world.clock.sleep(SWEEP)
        assert await world.ids() == set()

    swept(scenario)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "old runs cannot be removed, trying again in 600 s: the disk is away"
    ]


def test_a_run_whose_artifacts_cannot_be_removed_stays_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        world.refused = {run_id := await world.finished()}
        await world.clock.sleep(KEPT + SWEEP)
        assert await world.ids() == {run_id}
        world.refused = set()
        await world.clock.sleep(SWEEP)
        assert await world.ids() == set()

    swept(scenario)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "old runs stay" in warning and "keep_artifacts = true" in warning and "is not ours to delete" in warning


class Reads(Job):
    data: Artifact[bytes]

    def run(self, ctx: JobContext) -> None: ...


def an_artifact(run_id: str) -> Artifact[bytes]:
    return Artifact(key=f"{run_id}/{run_id}-0-0-1/data", size=4, sha256="0" * 64)


def a_workflow(artifact: Artifact[bytes]) -> Workflow:
    flow = Workflow("reads")
    flow.add("read", Reads(data=artifact))
    return flow


@pytest.mark.fault("H9")
@pytest.mark.parametrize("given", [lambda artifact: Reads(data=artifact), a_workflow], ids=["to a job", "in a workflow"])
def test_a_run_is_kept_as_long_as_another_was_given_what_it_wrote(given: Callable[[Artifact[bytes]], Any]) -> None:
    async def scenario(world: World) -> None:
        old = await world.finished()
        waits = await world.client.enqueue(given(an_artifact(old)))
        assert (await world.client.run(waits)).refers_to == (old,)
        await world.clock.sleep(KEPT + 2 * SWEEP)
        assert await world.ids() == {old, waits} and world.deleted == []
        again = await world.client.rerun(waits)
        for run_id in (waits, again):
            await world.client.cancel(run_id)
            await world.clock.sleep(KEPT / 2)
        assert await world.ids() == {old, waits, again}
        await world.clock.sleep(KEPT / 2 + 2 * SWEEP)
        assert await world.ids() == set() and world.deleted == [[waits], [again], [old]]

    swept(scenario)

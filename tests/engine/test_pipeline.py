"""The pipeline of one run: order, company, back-pressure, loss."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from klassd.workflows.engine.pipeline import BACKLOG, Pipeline, merged
from klassd.workflows.errors import StoreError, Unstorable
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, LogChunk, NodeRow, Run, RunPatch
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.system import SystemClock, TaskSpawner


class Recorder:
    """Stands for the store's commit: answers when the test lets it."""

    def __init__(self) -> None:
        self.committed: list[Change] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail = self.unreadable = 0
        self.unstorable = False
        self.accept = True
        self.run: Run | None = None

    async def commit(self, changes: list[Change]) -> list[bool]:
        await self.gate.wait()
        if self.unstorable:
            self.unstorable = False
            raise Unstorable("a lone surrogate")
        if self.fail:
            self.fail -= 1
            raise StoreError("the disk is full")
        self.committed.extend(changes)
        return [self.accept for _ in changes]

    async def get_run(self, run_id: str) -> Run | None:
        if self.unreadable:
            self.unreadable -= 1
            raise StoreError("the disk is away")
        return self.run


class Quick(SystemClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def change(**said: Any) -> Change:
    return Change(run_id="r", epoch=1, **said)


def patch(number: int, **said: Any) -> ExecutionPatch:
    return ExecutionPatch(id=f"e{number}", node="n", index=number, attempt=1, **said)


def with_pipeline(test: Callable[[Recorder, Pipeline, list[str]], Awaitable[None]]) -> None:
    async def main() -> None:
        store, lost, spawner = Recorder(), [], TaskSpawner()

        def spoil(error: Exception) -> None:
            lost.append(str(error))
            pipeline.add(change(run=RunPatch(status=RunStatus.FAILED)))

        pipeline = Pipeline(store, Quick(), spawner, "r", lambda: lost.append("lost"), spoil)  # type: ignore[arg-type]
        await test(store, pipeline, lost)
        await spawner.close()

    asyncio.run(main())


def test_what_piles_up_during_a_commit_goes_together_in_the_next_one() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.gate.clear()
        for number in range(5):
            pipeline.add(change(updated=(patch(number, status=ExecutionStatus.SUCCEEDED),)))
            await asyncio.sleep(0)
        store.gate.set()
        await pipeline.flushed()
        assert [len(each.updated) for each in store.committed] == [1, 4]

    with_pipeline(test)


def test_an_effect_waits_for_its_commit() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        seen: list[int] = []
        store.gate.clear()
        pipeline.add(change(run=RunPatch(status=RunStatus.CANCELLING)), [lambda: seen.append(len(store.committed))])
        await asyncio.sleep(0)
        assert seen == []
        store.gate.set()
        await pipeline.flushed()
        assert seen == [1]

    with_pipeline(test)


@pytest.mark.fault("C4", "C6")
def test_a_store_that_is_away_for_a_while_loses_nothing() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.fail = 3
        pipeline.add(change(nodes=(NodeRow(name="n", status=NodeStatus.SUCCEEDED),)))
        await pipeline.flushed()
        assert len(store.committed) == 1 and not lost

    with_pipeline(test)


@pytest.mark.fault("A17", "B2")
def test_a_refused_change_lets_go_of_the_run_and_has_no_effect() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.accept = False
        seen: list[str] = []
        pipeline.add(change(updated=(patch(1, status=ExecutionStatus.STARTING),)), [lambda: seen.append("launched")])
        for _ in range(20):
            await asyncio.sleep(0)
        assert lost == ["lost"] and seen == []

    with_pipeline(test)


@pytest.mark.fault("C9", "A16")
def test_what_no_store_can_hold_ends_the_run_instead_of_being_tried_for_ever() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.unstorable = True
        seen: list[str] = []
        pipeline.add(change(updated=(patch(1, status=ExecutionStatus.SUCCEEDED),)), [lambda: seen.append("reaped")])
        await pipeline.flushed()
        assert lost == ["a lone surrogate"] and seen == []
        assert [each.run for each in store.committed] == [RunPatch(status=RunStatus.FAILED)]

    with_pipeline(test)


@pytest.mark.fault("C4")
def test_an_end_that_stands_already_after_a_lost_acknowledgement_is_not_a_loss() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.accept = False
        store.run = Run(id="r", name="n", kind="job", definition="d", status=RunStatus.SUCCEEDED, epoch=1)
        seen: list[str] = []
        pipeline.add(change(run=RunPatch(status=RunStatus.SUCCEEDED)), [lambda: seen.append("reaped")])
        await pipeline.flushed()
        assert not lost and seen == ["reaped"]

    with_pipeline(test)


def test_whether_an_end_stands_already_is_asked_until_the_store_answers() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.accept, store.unreadable = False, 2
        store.run = Run(id="r", name="n", kind="job", definition="d", status=RunStatus.SUCCEEDED, epoch=1)
        pipeline.add(change(run=RunPatch(status=RunStatus.SUCCEEDED)))
        async with asyncio.timeout(5):
            await pipeline.flushed()
        assert not lost and store.unreadable == 0

    with_pipeline(test)


@pytest.mark.fault("C5")
def test_a_reader_of_a_console_is_held_back_while_the_store_is_behind() -> None:
    async def test(store: Recorder, pipeline: Pipeline, lost: list[str]) -> None:
        store.gate.clear()
        chunk = LogChunk(first_seq=0, first_line=1, lines=1, data=b"x" * (BACKLOG + 1), cursor="1")
        pipeline.add(change(run=RunPatch(status=RunStatus.CANCELLING)))
        await asyncio.sleep(0)
        pipeline.add(change(logs=(("e", chunk),)))
        waiting = asyncio.ensure_future(pipeline.room())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        store.gate.set()
        await waiting

    with_pipeline(test)


def test_merging_writes_each_row_once_with_its_last_values() -> None:
    row = Execution(id="e1", run_id="r", node="n", index=1, status=ExecutionStatus.STARTING)
    together = merged(
        [
            change(started=(row,), nodes=(NodeRow(name="n", status=NodeStatus.RUNNING, items=[1, 2]),)),
            change(
                updated=(patch(1, status=ExecutionStatus.RUNNING, started_at=5.0),), run=RunPatch(status=RunStatus.CANCELLING)
            ),
            change(updated=(patch(2, status=ExecutionStatus.RUNNING),)),
            change(
                updated=(patch(1, status=ExecutionStatus.FAILED, error="boom"), patch(2, error="late")),
                nodes=(NodeRow(name="n", status=NodeStatus.FAILED),),
                run=RunPatch(error="n failed"),
            ),
        ]
    )
    (started,) = together.started
    assert (started.status, started.started_at, started.error) == (ExecutionStatus.FAILED, 5.0, "boom")
    (updated,) = together.updated
    assert (updated.id, updated.status, updated.error) == ("e2", ExecutionStatus.RUNNING, "late")
    (node,) = together.nodes
    assert (node.status, node.items) == (NodeStatus.FAILED, [1, 2])
    assert together.run == RunPatch(status=RunStatus.CANCELLING, error="n failed")

"""The progress of an execution is that of all its bars, told together or one by one."""

import asyncio

from klassd.workflows import Job, JobContext
from klassd.workflows.testing import VirtualEngine


class Bars(Job):
    async def run(self, ctx: JobContext) -> None:
        for name in ("first", "second"):
            for _ in ctx.track(range(2), name=name):
                await asyncio.sleep(10)


class Many(Job):
    async def run(self, ctx: JobContext) -> None:
        for number in range(300):
            for _ in ctx.track(range(1), name=f"bar {number}"):
                await asyncio.sleep(1)


def test_a_bar_that_moves_does_not_take_the_others_away() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Bars())
        engine.finish(run)
        assert {name: bar["at"] for name, bar in run.node().executions[0].bars.items()} == {"first": 2, "second": 2}


def test_nor_does_a_new_owner() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Bars())
        engine.advance(seconds=25)
        engine.restart(after=1)
        assert engine.finish(run).succeeded
        assert set(run.node().executions[0].bars) == {"first", "second"}


def test_of_too_many_bars_those_that_moved_last_are_kept() -> None:
    with VirtualEngine() as engine:
        bars = engine.finish(engine.enqueue(Many())).nodes.popitem()[1].executions[0].bars
        assert list(bars) == [f"bar {number}" for number in range(200, 300)]

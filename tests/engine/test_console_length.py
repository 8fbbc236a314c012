"""How long a console is stands in the store when its execution is over, whoever said the last word about it."""

import asyncio

import pytest

from klassd.workflows import Job, JobContext
from klassd.workflows.testing import VirtualEngine, VirtualRun


class Talks(Job):
    async def run(self, ctx: JobContext) -> None:
        for number in range(1, 100):
            ctx.log(f"line {number}")
            await asyncio.sleep(60)


def stored_length(engine: VirtualEngine, run: VirtualRun) -> int:
    view = engine._do(engine._client.view(run.id))
    return view.nodes[0].executions[0].log_lines


@pytest.mark.parametrize("how", ["oom", "evicted", "lost"])
def test_an_execution_without_a_record_has_the_lines_that_were_heard(how: str) -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Talks())
        engine.advance(minutes=10)
        engine.kill(how=how)  # type: ignore[arg-type]
        assert len(run.node().lines) == 11
        assert stored_length(engine, run) == 11


def test_lines_that_an_earlier_owner_heard_count_too() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Talks())
        engine.advance(minutes=10)
        engine.restart(after="15s")
        engine.kill(how="lost")
        assert stored_length(engine, run) == len(run.node().lines) == 11


def test_so_do_those_of_a_machine_that_is_gone() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Talks())
        engine.advance(minutes=10)
        engine._executor._place = "another boot"
        engine.restart(after="15s")
        (gone,) = run.node().executions
        assert gone.error == "it was running at inline, which is gone: that machine was restarted, or is another one"
        assert stored_length(engine, run) == len(gone.lines) == 11

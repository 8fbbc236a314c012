"""Services in the test kit: ready when they say so, or at once where nothing real stands behind them."""

from __future__ import annotations

import asyncio

import pytest

from klassd.workflows import Job, JobContext, Retry, Tcp, Workflow, testing
from klassd.workflows.model.states import Cause, NodeStatus, RunStatus


class Database(Job, grace="30s"):
    warm_up: float = 0.0
    lives: float = 1e9

    async def run(self, ctx: JobContext) -> None:
        ctx.log(f"at {ctx.port}")
        await asyncio.sleep(self.warm_up)
        ctx.signal_ready()
        try:
            await asyncio.sleep(self.lives)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
            ctx.log("closed")
            raise


class Load(Job):
    database: str

    async def run(self, ctx: JobContext) -> str:
        await asyncio.sleep(60)
        return self.database


def flow(database: Database, **how: object) -> Workflow:
    wf = Workflow("flow")
    db = wf.service("db", database, port=5432, **how)  # type: ignore[arg-type]
    wf.returns(wf.add("load", Load(database=db.address), retry=Retry(2)).output)
    return wf


def test_a_workflow_waits_for_its_service_uses_it_and_takes_it_down() -> None:
    result = testing.run_workflow(flow(Database(warm_up=10)))
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, "127.0.0.1:5432")
    assert result.elapsed == pytest.approx(10 + 60 + 5, abs=0.1)
    assert result.nodes["db"].status is NodeStatus.SUCCEEDED
    assert result.nodes["db"].lines == ["at 5432", "closed"]


@pytest.mark.fault("F15")
def test_a_service_that_ends_early_fails_what_uses_it_at_once_and_for_good() -> None:
    result = testing.run_workflow(flow(Database(lives=20)))
    load = result.nodes["load"]
    assert load.error == "stopped: its service db failed: it ended by itself before the nodes that use it had ended"
    assert (load.attempts, load.executions[0].cause, result.elapsed) == (1, Cause.SERVICE, pytest.approx(20, abs=0.1))


def test_a_service_that_does_not_become_ready_is_tried_again_by_its_own_policy() -> None:
    result = testing.run_workflow(flow(Database(warm_up=90), ready_within="1m", retry=Retry(1, backoff="10s", jitter=0)))
    db = result.nodes["db"]
    assert [each.cause for each in db.executions] == [Cause.NOT_READY] * 2
    assert db.error == "it was not ready within 60 s of its start: it never called ctx.signal_ready()"
    assert result.nodes["load"].status is NodeStatus.SKIPPED


def test_a_service_runs_no_longer_than_its_timeout_which_is_a_day_if_it_has_none() -> None:
    wf = Workflow("flow")
    db = wf.service("db", Database())
    wf.add("never", Never(), after=[db])
    with testing.VirtualEngine() as engine:
        run = engine.enqueue(wf)
        engine.advance(days=1.1)
        assert run.node("db").error == "ran longer than its timeout: stopped after 86,405 s"
        assert run.status is RunStatus.FAILED


class Never(Job):
    async def run(self, ctx: JobContext) -> None:
        await asyncio.Event().wait()


def test_what_stands_in_for_a_service_or_is_asked_at_its_port_in_life_is_ready_at_once() -> None:
    stubbed = testing.run_workflow(flow(Database(warm_up=1e6)), stubs={"db": None})
    assert (stubbed.status, stubbed.elapsed) == (RunStatus.SUCCEEDED, pytest.approx(60, abs=0.1))
    asked = testing.run_workflow(flow(Database(warm_up=1e6), ready=Tcp()))
    assert asked.status is RunStatus.SUCCEEDED


@pytest.mark.fault("A8", "F15")
def test_a_service_stays_ready_when_another_scheduler_takes_over() -> None:
    with testing.VirtualEngine() as engine:
        run = engine.enqueue(flow(Database(warm_up=10)))
        engine.advance(seconds=30)
        assert (run.node("db").status, run.node("load").attempts) == (NodeStatus.READY, 1)
        engine.restart()
        assert run.node("db").status is NodeStatus.READY
        assert engine.finish(run).output == "127.0.0.1:5432"
        assert run.node("db").attempts == 1


@pytest.mark.fault("F15")
def test_a_service_that_dies_while_no_scheduler_lives_is_heard_of_by_the_next() -> None:
    with testing.VirtualEngine() as engine:
        run = engine.enqueue(flow(Database(lives=15)))
        engine.advance(seconds=10)
        engine.restart()
        engine.advance(seconds=1)
        assert run.status is RunStatus.FAILED
        assert run.node("load").attempts == 1


def test_services_take_no_slot_from_those_that_use_them() -> None:
    with testing.VirtualEngine(concurrency=1) as engine:
        runs = [engine.enqueue(flow(Database())) for _ in range(3)]
        assert [engine.finish(run).status for run in runs] == [RunStatus.SUCCEEDED] * 3


def test_a_context_records_that_a_service_said_it_is_ready_and_where() -> None:
    ctx = testing.context(port=80)
    assert ctx.port == 80 and not ctx.ready
    ctx.signal_ready(port=8080)
    assert ctx.ready
    with pytest.raises(ValueError, match="port is 0: expected a number from 1 to 65535"):
        ctx.signal_ready(port=0)

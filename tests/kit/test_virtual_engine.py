import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from klassd.workflows import Job, JobContext, Retry, Workflow
from klassd.workflows.errors import KlassdError, UnknownName
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.testing import VirtualEngine, run_workflow
from klassd.workflows.testing.deaths import DEATHS


class Nap(Job, grace="5s", retry=Retry(1, backoff="2h", jitter=0)):
    seconds: float = 3600

    async def run(self, ctx: JobContext) -> int:
        ctx.log("dozing off")
        await asyncio.sleep(self.seconds)
        ctx.log("waking up")
        return ctx.attempt


class Items(Job):
    def run(self, ctx: JobContext) -> list[float]:
        return [600, 1200, 1800]


def naps() -> Workflow:
    wf = Workflow("naps")
    items = wf.add("items", Items())
    slept = wf.map("nap", lambda seconds: Nap(seconds=seconds), over=items.output)
    wf.add("after", Nap(seconds=60), after=[slept])
    return wf


# -- time -------------------------------------------------------------------------------------------------------------


def test_what_is_due_has_happened_when_a_verb_returns() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Nap())
        assert (run.status, run.node().lines) == (RunStatus.RUNNING, ["dozing off"])
        engine.advance(minutes=59, seconds=59)
        assert run.status is RunStatus.RUNNING
        engine.advance(seconds=1)
        assert (run.status, run.output, run.node().lines) == (RunStatus.SUCCEEDED, 1, ["dozing off", "waking up"])


def test_a_delayed_run_waits_for_its_time() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Nap(), delay="2h")
        engine.advance(hours=1, minutes=59)
        assert (run.status, run.node().attempts) == (RunStatus.QUEUED, 0)
        engine.advance(minutes=1)
        assert run.node().executions[0].started_at == pytest.approx(7200, abs=0.1)


def test_time_does_not_drift_in_many_small_steps() -> None:
    with VirtualEngine(start=datetime(2026, 3, 1, tzinfo=UTC)) as engine:
        run = engine.enqueue(Nap(seconds=500))
        for _ in range(499):
            engine.advance(seconds=1)
        assert run.status is RunStatus.RUNNING
        engine.advance(seconds=1)
        assert run.succeeded
        assert engine.now == datetime(2026, 3, 1, 0, 8, 20, tzinfo=UTC)


def test_time_does_not_go_back() -> None:
    with VirtualEngine() as engine, pytest.raises(ValueError, match=r"time does not go back: advance\(\) by -60 s"):
        engine.advance(minutes=-1)


def test_a_year_in_which_nothing_is_due_is_over_at_once() -> None:
    with VirtualEngine() as engine:
        began = time.process_time()
        for _ in range(365):
            engine.advance(days=1)
        assert time.process_time() - began < 2
        engine.advance(days=365)
        assert engine.now == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=730)


def test_a_year_of_daily_runs_fits_into_a_test() -> None:
    with VirtualEngine() as engine:
        for _ in range(365):
            engine.enqueue(Nap(), unique_key=f"{engine.now:%Y-%m-%d}")
            engine.advance(days=1)
        assert len(engine.runs()) == len({run.id for run in engine.runs() if run.succeeded}) == 365


def test_finish_lets_a_run_end_and_says_when_it_does_not() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(naps())
        with pytest.raises(TimeoutError, match=r"naps has not ended within 60 s of virtual time; under way: nap \(running\)"):
            engine.finish(run, within="1m")
        assert engine.finish(run).elapsed == pytest.approx(1860, abs=0.1)
        engine.advance(hours=1)
        assert run.result.elapsed == pytest.approx(1860, abs=0.1)


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", DEATHS)
def test_an_attempt_ends_as_the_test_says_and_is_tried_again(how: str) -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Nap())
        engine.advance(minutes=10)
        engine.kill(how=how)  # type: ignore[arg-type]
        (first,) = [each for each in run.node().executions if each.status.final]
        assert (first.status, first.cause) == (ExecutionStatus.FAILED, Cause(how))
        assert first.error
        assert first.finished_at == pytest.approx(600, abs=0.1)
        engine.advance(hours=2)
        assert run.node().executions[1].started_at == pytest.approx(7800, abs=0.1)
        assert engine.finish(run).output == 2


def test_there_is_a_death_for_every_cause_that_an_executor_tells_by_itself() -> None:
    of_others = {Cause.EXCEPTION, Cause.OUTPUT, Cause.INPUT, Cause.LAUNCH, Cause.STOPPED, Cause.NOT_READY, Cause.SERVICE}
    assert {Cause(how) for how in DEATHS} == set(Cause) - of_others


def test_what_a_killed_job_still_does_is_heard_by_nobody() -> None:
    async def tidy(job: Nap, ctx: JobContext) -> None:
        ctx.log("before")
        try:
            await asyncio.sleep(1000)
        finally:
            ctx.log("while it dies")
            await asyncio.sleep(5)
            ctx.log("long after")

    with VirtualEngine(stubs={"after": tidy}) as engine:
        run = engine.enqueue(naps())
        engine.advance(minutes=30)
        engine.kill("after", how="oom")
        engine.advance(minutes=10)
        assert [(line.number, line.text) for line in run.node("after").executions[0].console] == [(1, "before")]


def test_one_item_of_a_fan_out_is_killed_by_its_number() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(naps())
        engine.kill("nap[1]", how="evicted")
        engine.advance(seconds=1)
        assert [each.cause for each in run.node("nap").executions if each.attempt == 1] == [None, Cause.EVICTED, None]
        assert engine.finish(run).nodes["nap"].output == [1, 2, 1]


def test_a_plan_of_deaths_is_one_for_each_attempt() -> None:
    with VirtualEngine(kill={"nap[2]": ["image", "lost"], "after": 2}) as engine:
        nodes = engine.finish(engine.enqueue(naps())).nodes
        attempts = [each for each in nodes["nap"].executions if each.index == 2]
        assert [each.cause for each in attempts] == [Cause.IMAGE, Cause.LOST, None]
        assert attempts[0].started_at is None  # by its image it never starts
        assert [each.cause for each in nodes["after"].executions] == [Cause.SIGNAL, Cause.SIGNAL]
        assert nodes["after"].status is NodeStatus.FAILED


@pytest.mark.fault("F8")
def test_a_cancel_in_the_middle_stops_what_runs_and_starts_nothing_more() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(naps())
        engine.advance(minutes=15)
        assert engine.cancel(run)
        engine.advance(seconds=1)
        assert run.status is RunStatus.CANCELLED
        assert [each.status for each in run.node("nap").executions] == [
            ExecutionStatus.SUCCEEDED,
            ExecutionStatus.STOPPED,
            ExecutionStatus.STOPPED,
        ]
        assert run.node("after").attempts == 0
        assert not engine.cancel(run)


@pytest.mark.fault("A6")
def test_a_scheduler_that_dies_disturbs_no_job_and_loses_no_line() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Nap())
        engine.advance(minutes=59, seconds=50)
        engine.restart()  # the job says its last line, and ends, while nobody listens
        assert (run.output, run.node().attempts, run.node().lines) == (1, 1, ["dozing off", "waking up"])
        assert run.node().executions[0].finished_at == pytest.approx(3600, abs=0.1)


@pytest.mark.fault("B7")
def test_a_scheduler_may_be_away_for_days_and_many_may_follow_each_other() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(naps())
        for _ in range(5):
            engine.restart(after="10m")
        engine.restart(after="3d")
        assert engine.finish(run).succeeded
        assert [node.attempts for node in run.result.nodes.values()] == [1, 1, 1]


@pytest.mark.fault("A8")
def test_a_retry_that_was_planned_outlives_the_scheduler_that_planned_it() -> None:
    with VirtualEngine(fail={"after": 1}) as engine:
        run = engine.enqueue(naps())
        engine.advance(minutes=31)
        engine.restart()
        assert run.node("after").attempts == 2
        engine.advance(hours=1, minutes=58)
        assert run.node("after").executions[1].started_at is None
        engine.advance(minutes=1)
        assert run.node("after").executions[1].started_at == pytest.approx(1800 + 7200, abs=0.1)


# -- enqueueing and looking -------------------------------------------------------------------------------------------


def test_a_key_that_is_known_gives_the_run_that_has_it() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Nap(), unique_key="x")
        assert engine.enqueue(Nap(seconds=1), unique_key="x") == run
        assert engine.enqueue(Nap(), unique_key="y") != run
        assert (len(engine.runs()), len(engine.runs("naps"))) == (2, 0)


@pytest.mark.fault("F14")
def test_a_run_that_is_run_again_is_a_new_run() -> None:
    with VirtualEngine(fail={"after": ConnectionError("503")}) as engine:
        first = engine.enqueue(naps())
        engine.finish(first)
        again = engine.rerun(first)
        engine.advance(hours=1)
        assert (first.status, again.status) == (RunStatus.FAILED, RunStatus.RUNNING)
        assert [run.id for run in engine.runs("naps")] == [first.id, again.id]


def test_a_run_tells_of_itself_what_run_workflow_tells() -> None:
    with VirtualEngine(fail={"after": 1}) as engine:
        run = engine.enqueue(naps())
        result = engine.finish(run)
    alike = run_workflow(naps(), fail={"after": 1})
    assert (result.lines, result.elapsed) == (alike.lines, alike.elapsed)
    assert [node.executions[-1].output for node in result.nodes.values()] == [
        node.executions[-1].output for node in alike.nodes.values()
    ]


# -- mistakes ---------------------------------------------------------------------------------------------------------


def test_a_node_that_is_not_there_is_told_with_those_that_look_alike() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(naps())
        with pytest.raises(UnknownName, match=r"no node named 'aftre' among 3\. Did you mean 'after'"):
            engine.kill("aftre")
        with pytest.raises(UnknownName, match="Did you mean 'items'"):
            run.node("itms")
        with pytest.raises(KlassdError, match="3 nodes: give the name of one, of items, nap, after"):
            run.node()


def test_a_kill_that_does_not_mean_one_attempt_is_told_with_what_runs() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(naps())
        ids = ", ".join(rf"nap\[{index}\] of run {run.id}" for index in range(3))
        with pytest.raises(KlassdError, match=f"nap has 3 running attempts, and kill.. ends one. Running: {ids}$"):
            engine.kill("nap")
        with pytest.raises(KlassdError, match=r"items of run .* has no running attempt.*give kill= to the engine"):
            engine.kill("items", run=run)
        with pytest.raises(KlassdError, match=r"cannot end as 'evict': expected one of signal, oom, evicted, lost"):
            engine.kill("nap[1]", how="evict")  # type: ignore[arg-type]


def test_a_plan_of_deaths_that_there_are_not_is_refused_at_once() -> None:
    with pytest.raises(KlassdError, match="cannot end as 'evict'"):
        VirtualEngine(kill={"nap": "evict"})  # type: ignore[dict-item]


def test_a_script_for_a_node_that_no_run_had_fails_the_test() -> None:
    engine = VirtualEngine(fail={"publish": 1})
    with pytest.raises(UnknownName, match="no node named 'publish' among 1"), engine:
        engine.enqueue(Nap())


def test_a_run_is_looked_at_while_its_engine_is_open() -> None:
    with VirtualEngine() as engine:
        run = engine.enqueue(Nap())
    with pytest.raises(KlassdError, match="inside its `with` block"):
        _ = run.status


def test_an_async_test_is_told_what_to_do() -> None:
    async def main() -> None:
        with VirtualEngine():
            pass

    with pytest.raises(RuntimeError, match="call it from a plain"):
        asyncio.run(main())


def test_leaving_ends_even_a_job_that_swallows_every_cancellation() -> None:
    async def deaf(job: Nap, ctx: JobContext) -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                ctx.log("no")

    with VirtualEngine(stubs={"after": deaf}) as engine:
        engine.enqueue(naps())
        engine.advance(hours=1)

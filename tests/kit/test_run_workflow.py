import asyncio
import time
from dataclasses import dataclass

import pytest

from klassd.workflows import Artifact, InvalidInput, InvalidWorkflow, Job, JobContext, PermanentError, Retry, Workflow, testing
from klassd.workflows.errors import UnknownName
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus


@dataclass
class Markets:
    ids: list[str]


@dataclass
class Sold:
    market: str
    pieces: int


class Find(Job):
    async def run(self, ctx: JobContext) -> Markets:
        ctx.log("asking")
        await asyncio.sleep(5)
        return Markets(ids=["dk", "se", "no"])


class Sell(Job):
    market: str

    async def run(self, ctx: JobContext) -> Sold:
        await asyncio.sleep(60)
        print(f"{self.market} sold")
        return Sold(market=self.market, pieces=len(self.market) * 10)


class Publish(Job, retry=Retry(3, backoff="5m..20m", jitter=0)):
    results: list[Sold]

    def run(self, ctx: JobContext) -> int:
        ctx.set_output("attempt", ctx.attempt)
        return sum(result.pieces for result in self.results)


class Page(Job):
    def run(self, ctx: JobContext) -> None:
        ctx.log("paging")


def shop(**options: object) -> Workflow:
    wf = Workflow("shop")
    markets = wf.add("markets", Find())
    sold = wf.map("sell", lambda market: Sell(market=market), over=markets.output.ids, **options)  # type: ignore[arg-type]
    publish = wf.add("publish", Publish(results=sold.output))
    wf.add("page", Page(), when=publish.failed)
    wf.returns(publish.output)
    return wf


def test_a_workflow_runs_to_its_end_on_the_real_engine() -> None:
    result = testing.run_workflow(shop())
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, 60)
    assert result.succeeded
    assert {name: node.status for name, node in result.nodes.items()} == {
        "markets": NodeStatus.SUCCEEDED,
        "sell": NodeStatus.SUCCEEDED,
        "publish": NodeStatus.SUCCEEDED,
        "page": NodeStatus.OMITTED,
    }
    assert result.nodes["sell"].output == [{"market": market, "pieces": 20} for market in ("dk", "se", "no")]
    assert result.nodes["publish"].outputs == {"attempt": 1}
    assert result.nodes["page"].attempts == 0


def test_elapsed_is_what_it_would_have_taken() -> None:
    assert testing.run_workflow(shop()).elapsed == pytest.approx(65, abs=0.1)
    assert testing.run_workflow(shop(max_parallel=1)).elapsed == pytest.approx(185, abs=0.1)
    assert testing.run_workflow(shop(), concurrency=2).elapsed == pytest.approx(125, abs=0.1)


def test_a_back_off_of_minutes_takes_no_real_time() -> None:
    testing.run_workflow(shop())  # imports what is imported once
    began = time.monotonic()
    result = testing.run_workflow(shop(), fail={"publish": 1})
    assert time.monotonic() - began < 2
    assert result.elapsed == pytest.approx(365, abs=0.1)
    first, second = result.nodes["publish"].executions
    assert (first.status, first.error) == (ExecutionStatus.FAILED, "ScriptedFailure: attempt 1 fails by script")
    assert isinstance(first.exception, testing.ScriptedFailure)
    assert (second.status, second.attempt, second.output) == (ExecutionStatus.SUCCEEDED, 2, 60)
    assert second.started_at == pytest.approx(365, abs=0.1)


def test_a_killed_attempt_is_tried_again() -> None:
    result = testing.run_workflow(shop(), kill={"publish": 2})
    assert result.succeeded
    assert [execution.cause for execution in result.nodes["publish"].executions] == [Cause.SIGNAL, Cause.SIGNAL, None]


def test_a_failure_that_a_node_handles_lets_the_run_succeed() -> None:
    result = testing.run_workflow(shop(), fail={"publish": PermanentError("closed")})
    assert (result.nodes["publish"].status, result.nodes["publish"].attempts) == (NodeStatus.FAILED, 1)
    assert (result.nodes["page"].status, result.nodes["page"].lines) == (NodeStatus.SUCCEEDED, ["paging"])
    assert result.succeeded


def test_one_item_that_fails_fails_its_fan_out_only_when_the_others_are_done() -> None:
    result = testing.run_workflow(shop(), fail={"sell[1]": 1})
    assert result.status is RunStatus.FAILED
    assert [execution.status for execution in result.nodes["sell"].executions] == [
        ExecutionStatus.SUCCEEDED,
        ExecutionStatus.FAILED,
        ExecutionStatus.SUCCEEDED,
    ]
    assert result.nodes["publish"].status is NodeStatus.SKIPPED
    assert "sell" in (result.error or "")


def test_stubs_stand_in_for_jobs() -> None:
    seen = []

    def sell(job: Sell, ctx: JobContext) -> Sold:
        seen.append((job.market, ctx.index))
        return Sold(market=job.market, pieces=1)

    result = testing.run_workflow(shop(), stubs={"markets": Markets(ids=["a", "b"]), "sell": sell})
    assert (result.output, seen) == (2, [("a", 0), ("b", 1)])
    assert result.nodes["markets"].lines == []


def test_lines_tell_who_said_them_in_the_order_of_time() -> None:
    lines = testing.run_workflow(shop(max_parallel=1), fail={"publish": 1}).lines
    assert lines[:4] == ["markets[0]#1: asking", "sell[0]#1: dk sold", "sell[1]#1: se sold", "sell[2]#1: no sold"]
    assert lines[4].startswith("publish[0]#1: ") and "fails by script" in lines[4]


def test_a_cancelled_run_stops_what_runs() -> None:
    result = testing.run_workflow(shop(), cancel_after="30s")
    assert result.status is RunStatus.CANCELLED
    assert {execution.status for execution in result.nodes["sell"].executions} == {ExecutionStatus.STOPPED}
    assert result.elapsed == pytest.approx(30, abs=1.5)


def test_the_same_test_takes_the_same_course() -> None:
    assert testing.run_workflow(shop(), fail={"publish": 2}) != testing.run_workflow(shop(), fail={"publish": 1})
    first, second = (testing.run_workflow(shop(max_parallel=2), kill={"publish": 1}) for _ in range(2))
    assert (first.lines, first.nodes, first.elapsed) == (second.lines, second.nodes, second.elapsed)


def test_a_run_that_does_not_end_in_time_is_told_with_what_is_under_way() -> None:
    with pytest.raises(TimeoutError, match=r"shop has not ended within 30 s of virtual time; under way: sell \(running\)"):
        testing.run_workflow(shop(), within="30s")


def test_a_job_runs_with_its_retries() -> None:
    job = Publish(results=[Sold(market="dk", pieces=7)])
    name = f"{__name__}:Publish"
    result = testing.run_workflow(job, fail={name: 2})
    assert (result.output, result.nodes[name].attempts, result.elapsed) == (7, 3, pytest.approx(900, abs=0.1))


class Rate:
    value = 3


class Priced(Job):
    price: int

    def run(self, ctx: JobContext, rate: Rate) -> int:
        return self.price * rate.value * ctx.config["factor"]


def test_params_services_and_config_are_given() -> None:
    wf = Workflow("priced")
    price = wf.param("price", int)
    wf.returns(wf.add("priced", Priced(price=price)).output)
    result = testing.run_workflow(wf, params={"price": 2}, services={Rate: Rate()}, config={"factor": 7})
    assert result.output == 42
    with pytest.raises(InvalidInput, match="price"):
        testing.run_workflow(wf, params={"price": "x"})


class Write(Job):
    def run(self, ctx: JobContext) -> Artifact[str]:
        return ctx.artifacts.save("note", "passed on")


class Read(Job):
    note: Artifact[str]

    def run(self, ctx: JobContext) -> str:
        return ctx.artifacts.read(self.note).decode()


def test_artifacts_travel_between_jobs() -> None:
    wf = Workflow("notes")
    wf.returns(wf.add("read", Read(note=wf.add("write", Write()).output)).output)
    assert testing.run_workflow(wf).output == "passed on"


@pytest.mark.fault("F11")
def test_an_artifact_of_a_failed_attempt_is_never_read() -> None:
    def write(job: Write, ctx: JobContext) -> Artifact[str]:
        artifact = ctx.artifacts.save("note", f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            raise ConnectionError("after the save")
        return artifact

    wf = Workflow("notes")
    wf.returns(wf.add("read", Read(note=wf.add("write", Write(), retry=Retry(1)).output)).output)
    store = testing.MemoryArtifacts()
    assert testing.run_workflow(wf, stubs={"write": write}, artifacts=store).output == "attempt 2"
    assert len(store.data) == 2  # the first one is there until the run is pruned, and nothing refers to it


def test_mistakes_are_told_as_when_they_are_enqueued() -> None:
    with pytest.raises(InvalidWorkflow, match="1 problem"):
        testing.run_workflow(Workflow("empty"))
    with pytest.raises(UnknownName, match="Did you mean 'publish'"):
        testing.run_workflow(shop(), fail={"publsh": 1})


def test_a_job_that_waits_for_ever_ends_the_test_and_not_the_day() -> None:
    async def stuck(job: Find, ctx: JobContext) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match=r"under way: markets \(running\)"):
        testing.run_workflow(shop(), stubs={"markets": stuck}, within="10m")

import asyncio
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from klassd.workflows import App, Artifact, InvalidInput, Job, JobCancelled, JobContext, PermanentError, job, testing
from klassd.workflows.model.states import Cause, ExecutionStatus

log = logging.getLogger("shop.orders")


class Double(Job):
    number: int

    def run(self, ctx: JobContext) -> int:
        ctx.log(f"doubling {self.number}")
        return self.number * 2


def test_a_job_gives_status_output_and_console() -> None:
    result = testing.run_job(Double(number=21))
    assert (result.status, result.output, result.lines) == (ExecutionStatus.SUCCEEDED, 42, ["doubling 21"])
    assert result.succeeded
    assert (result.error, result.cause, result.exception) == (None, None, None)


def test_a_function_job_runs_too() -> None:
    @job
    async def shout(ctx: JobContext, text: str) -> str:
        await asyncio.sleep(60)
        return text.upper()

    result = testing.run_job(shout(text="hello"))
    assert (result.output, result.finished_at) == ("HELLO", pytest.approx(60))


def test_a_job_defined_in_a_test_needs_no_module() -> None:
    class Local(Job):
        def run(self, ctx: JobContext) -> str:
            return ctx.idempotency_key

    assert testing.run_job(Local()).output == "run-0-0"


def test_wrong_inputs_are_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidInput, match="expected int, got str 'x'"):
        testing.run_job(Double(number="x"))  # type: ignore[arg-type]


def test_inputs_travel_as_json() -> None:
    class Given(Job):
        pair: tuple[int, int]
        path: Path

        def run(self, ctx: JobContext) -> list[str]:
            assert ctx.arguments == {"pair": [1, 2], "path": "/x"}
            return [type(self.pair).__name__, str(self.path)]

    assert testing.run_job(Given(pair=(1, 2), path=Path("/x"))).output == ["tuple", "/x"]


def test_the_output_is_what_a_dependent_would_read() -> None:
    @dataclass
    class Sold:
        number: int

    class Sell(Job):
        def run(self, ctx: JobContext) -> Sold:
            ctx.set_output("kind", "retail")
            return Sold(3)

    result = testing.run_job(Sell())
    assert (result.output, result.outputs) == ({"number": 3}, {"kind": "retail"})


def test_an_exception_is_a_result_with_its_sentence_and_traceback() -> None:
    class Break(Job):
        def run(self, ctx: JobContext) -> None:
            raise LookupError("no such order")

    result = testing.run_job(Break())
    assert (result.status, result.cause, result.error) == (
        ExecutionStatus.FAILED,
        Cause.EXCEPTION,
        "LookupError: no such order",
    )
    assert result.retry
    assert isinstance(result.exception, LookupError)
    assert result.lines[0] == "Traceback (most recent call last):"
    assert __file__ in result.lines[1]  # the kit's own frames are not shown
    assert result.lines[-1] == "LookupError: no such order"


def test_a_permanent_error_is_not_tried_again() -> None:
    class Break(Job):
        def run(self, ctx: JobContext) -> None:
            raise PermanentError("account closed")

    assert not testing.run_job(Break()).retry


def test_an_output_that_cannot_be_stored_fails_by_its_cause() -> None:
    class Wrong(Job):
        def run(self, ctx: JobContext) -> object:
            return object()

    result = testing.run_job(Wrong())
    assert (result.status, result.cause, result.retry) == (ExecutionStatus.FAILED, Cause.OUTPUT, False)
    assert "the return value cannot be stored" in (result.error or "")


@pytest.mark.parametrize(("code", "exit_code"), [(3, 3), (None, 0), ("bye", 1)])
def test_sys_exit_is_no_result(code: object, exit_code: int) -> None:
    class Exit(Job):
        def run(self, ctx: JobContext) -> None:
            sys.exit(code)  # type: ignore[arg-type]

    result = testing.run_job(Exit())
    assert result.cause is (Cause.EXIT if exit_code else Cause.NO_RESULT)
    assert "has no result" in result.lines[0]


def test_prints_and_logging_stand_in_the_console_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    class Talk(Job):
        async def run(self, ctx: JobContext) -> None:
            print("printed")
            await asyncio.sleep(1)
            log.info("logged %d", 1)
            print("to stderr", file=sys.stderr)
            ctx.log("said")
            print("no newline", end="")

    result = testing.run_job(Talk())
    assert [(line.number, line.text, line.stream, line.logger) for line in result.console] == [
        (1, "printed", "stdout", ""),
        (2, "logged 1", "log", "shop.orders"),
        (3, "to stderr", "stderr", ""),
        (4, "said", "log", ""),
        (5, "no newline", "stdout", ""),
    ]
    assert capsys.readouterr() == ("printed\nno newline", "to stderr\n")


def test_what_the_kit_changes_is_as_before_afterwards() -> None:
    before = (sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers))
    testing.run_job(Double(number=1))
    assert (sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers)) == before


# -- time -------------------------------------------------------------------------------------------------------------


class Slow(Job, timeout="10m", grace="30s"):
    seconds: float
    stubborn: float = 0.0

    async def run(self, ctx: JobContext) -> str:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            ctx.log(f"cancelled={ctx.cancelled}")
            await asyncio.sleep(self.stubborn)
            raise
        return "done"


def test_hours_pass_in_no_time() -> None:
    began = time.monotonic()
    assert testing.run_job(Slow(seconds=599)).output == "done"
    assert time.monotonic() - began < 5


def test_a_timeout_cancels_and_names_the_deadline() -> None:
    result = testing.run_job(Slow(seconds=3600))
    assert (result.status, result.cause, result.finished_at) == (ExecutionStatus.FAILED, Cause.DEADLINE, pytest.approx(600))
    assert result.lines == ["cancelled=True"]


def test_a_job_that_ends_within_its_grace_is_not_killed() -> None:
    result = testing.run_job(Slow(seconds=3600, stubborn=29))
    assert (result.cause, result.finished_at) == (Cause.DEADLINE, pytest.approx(629))
    assert "killed" not in (result.error or "")


def test_a_job_that_outlasts_its_grace_is_killed() -> None:
    result = testing.run_job(Slow(seconds=3600, stubborn=1000))
    assert (result.cause, result.finished_at) == (Cause.DEADLINE, pytest.approx(630))
    assert "killed" in (result.error or "")


def test_a_job_that_swallows_every_cancellation_is_killed_all_the_same() -> None:
    class Deaf(Job, timeout="1m", grace="5s"):
        async def run(self, ctx: JobContext) -> None:
            while True:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    ctx.log("no")

    result = testing.run_job(Deaf())
    assert (result.cause, result.finished_at) == (Cause.DEADLINE, pytest.approx(65))


def test_a_stop_cancels_a_job() -> None:
    result = testing.run_job(Slow(seconds=300), stop_after="2m")
    assert (result.status, result.cause, result.finished_at) == (ExecutionStatus.STOPPED, Cause.STOPPED, pytest.approx(120))


def test_a_stop_after_the_end_changes_nothing() -> None:
    assert testing.run_job(Slow(seconds=10), stop_after="2m").succeeded


def test_a_job_may_say_that_it_was_cancelled() -> None:
    class Sync(Job):
        def run(self, ctx: JobContext) -> None:
            raise JobCancelled

    assert testing.run_job(Sync()).status is ExecutionStatus.FAILED  # nobody had asked


def test_a_synchronous_job_may_run_a_loop_of_its_own() -> None:
    class Own(Job):
        def run(self, ctx: JobContext) -> str:
            async def inner() -> str:
                await asyncio.sleep(0.01)
                return "inner"

            return asyncio.run(inner())

    assert testing.run_job(Own()).output == "inner"


def test_a_job_may_use_threads() -> None:
    class Threads(Job):
        async def run(self, ctx: JobContext) -> int:
            return await asyncio.to_thread(sum, [1, 2, 3])

    assert testing.run_job(Threads()).output == 6


def test_a_job_may_use_timeouts_and_tasks_of_its_own() -> None:
    class Inner(Job):
        async def run(self, ctx: JobContext) -> str:
            try:
                async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(10))
                    group.create_task(asyncio.sleep(100))
            except TimeoutError:
                return "timed out inside"
            return "no"

    result = testing.run_job(Inner())
    assert (result.output, result.finished_at) == ("timed out inside", pytest.approx(30))


# -- services and artifacts -------------------------------------------------------------------------------------------


class Http:
    def get(self) -> str:
        return "real"


class FakeHttp(Http):
    def get(self) -> str:
        return "fake"


class Fetch(Job):
    async def run(self, ctx: JobContext, http: Http) -> str:
        return http.get()


def test_services_are_given_by_type() -> None:
    assert testing.run_job(Fetch(), services={Http: FakeHttp()}).output == "fake"


def test_services_come_from_the_app_and_are_closed() -> None:
    closed = []

    def factory():  # type: ignore[no-untyped-def]
        yield Http()
        closed.append(True)

    app = App(jobs=[Fetch])
    app.provide(Http, factory)
    assert testing.run_job(Fetch(), app=app).output == "real"
    assert closed == [True]
    assert testing.run_job(Fetch(), app=app, services={Http: FakeHttp()}).output == "fake"


def test_a_missing_service_is_told_by_name() -> None:
    result = testing.run_job(Fetch())
    assert result.cause is Cause.INPUT
    assert "takes services (Http): give them to the test with services={Http: ...}" in (result.error or "")


def test_artifacts_may_be_read_afterwards(tmp_path: Path) -> None:
    class Keep(Job):
        def run(self, ctx: JobContext) -> Artifact[bytes]:
            return ctx.artifacts.save("a", b"kept")

    store = testing.MemoryArtifacts()
    result = testing.run_job(Keep(), artifacts=store)
    assert store.data[result.output["key"]] == b"kept"
    assert testing.run_job(Keep(), artifacts=tmp_path).succeeded
    assert (tmp_path / result.output["key"]).read_bytes() == b"kept"


def test_what_the_context_tells_can_be_given() -> None:
    class Tell(Job):
        def run(self, ctx: JobContext) -> list[object]:
            return [ctx.attempt, ctx.tenant, list(ctx.tags), ctx.config["url"]]

    result = testing.run_job(Tell(), attempt=3, tenant="acme", tags=["a"], config={"url": "x"})
    assert result.output == [3, "acme", ["a"], "x"]


def test_an_async_test_uses_a_thread() -> None:
    async def main() -> object:
        return (await asyncio.to_thread(testing.run_job, Double(number=2))).output

    assert asyncio.run(main()) == 4


def test_an_artifact_that_cannot_be_stored_fails_as_an_output_and_may_be_tried_again(tmp_path: Path) -> None:
    class Keep(Job):
        def run(self, ctx: JobContext) -> Artifact[bytes]:
            return ctx.artifacts.save("a", b"lost")

    (tmp_path / "file").write_text("no directory")
    result = testing.run_job(Keep(), artifacts=tmp_path / "file")
    assert (result.status, result.cause, result.retry) == (ExecutionStatus.FAILED, Cause.OUTPUT, True)
    assert "could not be stored" in (result.error or "")

import asyncio

import pytest

from klassd.workflows import Job, JobContext, PermanentError
from klassd.workflows.errors import UnknownName
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.order import Order
from klassd.workflows.rules.lifecycle import Verdict, verdict
from klassd.workflows.system import SystemClock
from klassd.workflows.testing import InlineExecutor, Script, ScriptedFailure, VirtualClock, run_virtual
from klassd.workflows.testing.executors import ExecutorConformance, Heard, hear, hear_until, opened
from klassd.workflows.testing.inline import InlineExecution


class TestInlineExecutor(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def place(self) -> None:
        self.executions: dict[str, InlineExecution] = {}

    def executor(self) -> InlineExecutor:
        return InlineExecutor(SystemClock(), executions=self.executions)

    # These take a process of one's own: to leave by os._exit, to be sent signals, or to block without blocking the test.
    test_an_exit_without_a_result_is_no_success = None  # type: ignore[assignment]
    test_a_killed_job_is_told_with_its_signal_and_its_last_words = None  # type: ignore[assignment]
    test_another_scheduler_adopts_what_runs = None  # type: ignore[assignment]
    test_a_stopped_job_ends_by_itself_within_its_grace = None  # type: ignore[assignment]
    test_a_job_that_does_not_listen_is_killed_after_its_grace = None  # type: ignore[assignment]


class Waits(Job):
    """Until it is stopped."""

    async def run(self, ctx: JobContext) -> None:
        ctx.log("waiting")
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            ctx.log("stopped")
            raise


class Adds(Job):
    left: int
    right: int = 1

    def run(self, ctx: JobContext) -> int:
        return self.left + self.right


def order(job: type, node: str = "node", **more: object) -> Order:
    said = {"execution_id": "run-0-0-1", "grace": 5.0, "inputs": {}} | more
    return Order(run_id="run", node=node, job=job.__name__, source=f"{job.__module__}:{job.__name__}", **said)  # type: ignore[arg-type]


def perform(wanted: Order, script: Script | None = None) -> tuple[Heard, Verdict]:
    async def main() -> Heard:
        async with opened(InlineExecutor(VirtualClock(), script=script)) as executor:
            await executor.launch(wanted)
            return await hear(executor, wanted.execution_id)

    heard = run_virtual(main())
    return heard, verdict(heard.finished, False)


def test_another_scheduler_adopts_what_runs() -> None:
    async def main() -> tuple[Heard, Heard]:
        clock, wanted = VirtualClock(), order(Waits)
        async with opened(InlineExecutor(clock)) as one:
            await one.launch(wanted)
            await hear_until(one, wanted.execution_id, "waiting")
            executions = one.executions  # type: ignore[attr-defined]
        async with opened(InlineExecutor(clock, executions=executions)) as other:
            shown = await hear_until(other, wanted.execution_id, "waiting")
            await other.stop(wanted.execution_id, 5.0)
            return shown, await hear(other, wanted.execution_id)

    shown, heard = run_virtual(main())
    assert (shown.lines, heard.lines) == (["waiting"], ["waiting", "stopped"])
    assert heard.finished.end
    assert (heard.finished.end.requested, heard.finished.end.killed) == ("stop", False)


def test_a_stop_before_the_first_step_runs_nothing() -> None:
    async def main() -> Heard:
        async with opened(InlineExecutor(VirtualClock())) as executor:
            await executor.launch(order(Waits))
            await executor.stop("run-0-0-1", 5.0)
            return await hear(executor, "run-0-0-1")

    heard = run_virtual(main())
    assert heard.lines == []
    assert verdict(heard.finished, True).status is ExecutionStatus.STOPPED


def test_a_shorter_grace_kills_sooner_and_a_longer_one_not_later() -> None:
    async def main() -> float:
        async with opened(InlineExecutor(VirtualClock())) as executor:
            await executor.launch(order(Deaf))
            await hear_until(executor, "run-0-0-1", "deaf")
            for grace in (60.0, 10.0, 100.0):
                await executor.stop("run-0-0-1", grace)
            await hear(executor, "run-0-0-1")
            return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(10)


class Deaf(Job):
    async def run(self, ctx: JobContext) -> None:
        ctx.log("deaf")
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ctx.log("no")


def test_inputs_that_do_not_fit_end_it_before_it_begins() -> None:
    heard, came = perform(order(Adds, inputs={"left": "x", "wrong": 1}))
    assert (came.cause, came.retry) == (Cause.INPUT, False)
    assert "expected int, got str 'x'" in (came.message or "")
    assert "'wrong'" in (came.message or "")
    assert heard.started == 1


def test_a_job_that_cannot_be_imported_is_told_by_name() -> None:
    wanted = Order(execution_id="run-0-0-1", run_id="run", node="n", job="Addz", source=f"{__name__}:Addz")
    _, came = perform(wanted)
    assert (came.cause, came.retry) == (Cause.INPUT, False)
    assert "Did you mean 'Adds'" in (came.message or "")


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_scripted_attempts_fail_and_later_ones_run(attempt: int) -> None:
    wanted = order(Adds, attempt=attempt, inputs={"left": 1})
    _, came = perform(wanted, Script(fail={"node": 2}))
    if attempt <= 2:
        assert came.message == f"ScriptedFailure: attempt {attempt} fails by script"
        assert (came.cause, came.retry) == (Cause.EXCEPTION, True)
    else:
        assert came.output == 2


def test_a_scripted_exception_is_raised_by_every_attempt() -> None:
    _, came = perform(order(Adds, attempt=9, inputs={"left": 1}), Script(fail={"node": PermanentError("closed")}))
    assert (came.message, came.retry) == ("PermanentError: closed", False)


def test_a_scripted_kill_is_a_death_by_signal_nine() -> None:
    heard, came = perform(order(Adds, inputs={"left": 1}), Script(kill={"node": 1}))
    assert (came.cause, came.message) == (Cause.SIGNAL, "killed by signal 9 (SIGKILL)")
    assert (heard.started, heard.lines) == (1, [])


def test_one_item_can_be_meant() -> None:
    script = Script(fail={"node[1]": 1, "node": 0})
    outputs = [perform(order(Adds, index=index, inputs={"left": index}), script)[1].output for index in range(3)]
    assert outputs == [1, None, 3]


def test_a_stub_gets_the_job_with_its_inputs() -> None:
    async def stub(job: Adds, ctx: JobContext) -> int:
        await asyncio.sleep(3600)
        ctx.log("stub")
        return job.left * 100

    heard, came = perform(order(Adds, inputs={"left": 2}), Script(stubs={"node": stub}))
    assert (came.output, heard.lines) == (200, ["stub"])
    assert perform(order(Adds, inputs={"left": 2}), Script(stubs={"node": {"plain": "value"}}))[1].output == {"plain": "value"}


def test_inputs_are_checked_for_a_stub_too() -> None:
    _, came = perform(order(Adds), Script(stubs={"node": 1}))
    assert came.cause is Cause.INPUT


def test_a_script_for_a_node_that_is_not_there_is_refused() -> None:
    for script in (Script(fail={"publsh": 1}), Script(kill={"publsh[2]": 1}), Script(stubs={"publsh": 1})):
        with pytest.raises(UnknownName, match=r"'publsh' among 2\. Did you mean 'publish'"):
            script.check(["markets", "publish"])
    Script(fail={"publish[3]": ScriptedFailure()}).check(["publish"])


def test_two_jobs_at_once_keep_their_consoles_apart() -> None:
    async def main() -> list[list[str]]:
        async with opened(InlineExecutor(VirtualClock())) as executor:
            for number in range(3):
                await executor.launch(order(Prints, execution_id=f"run-0-{number}-1", inputs={"number": number}))
            return [(await hear(executor, f"run-0-{number}-1")).lines for number in range(3)]

    assert run_virtual(main()) == [[f"{number} begins", f"{number} ends"] for number in range(3)]


class Prints(Job):
    number: int

    async def run(self, ctx: JobContext) -> None:
        print(self.number, "begins")
        await asyncio.sleep(10)
        await asyncio.create_task(self.end())

    async def end(self) -> None:
        print(self.number, "ends")

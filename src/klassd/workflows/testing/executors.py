"""The conformance suite of ``ports.Executor``: what an adapter must pass, ours and third parties' alike.

    class TestMyExecutor(ExecutorConformance):
        def executor(self):
            return MyExecutor(...)

``executor`` gives a new executor of the same place each time: two of them are two schedulers. The jobs are those of
``klassd.workflows.testing.executor_jobs``; the workers must be able to import it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from klassd.workflows import __version__
from klassd.workflows.errors import LaunchDelayed
from klassd.workflows.model.execution import Finished, Located, Output, Progress, Reached, Started, Told, Waiting
from klassd.workflows.model.logs import lines_of
from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import LogChunk, execution_id
from klassd.workflows.model.states import Cause
from klassd.workflows.order import Order
from klassd.workflows.ports import Executor
from klassd.workflows.stores.common import chunk_end
from klassd.workflows.system import SystemClock, SystemIds

T = TypeVar("T")

DEADLINE = 60.0  # seconds for one check
CURSORS = 8  # places of a console that are gone on from, about


@dataclass
class Heard:
    """What a follower was told, put together."""

    told: list[Told] = field(default_factory=list)

    @property
    def chunks(self) -> list[LogChunk]:
        return [told.chunk for told in self.told if isinstance(told, Output)]

    @property
    def lines(self) -> list[str]:
        return [line.text for line in lines_of(chunk.data for chunk in self.chunks)]

    @property
    def finished(self) -> Finished:
        last = self.told[-1]
        assert isinstance(last, Finished), f"the follower was told {last} last; expected Finished"
        return last

    @property
    def outputs(self) -> dict[str, Any]:
        return {name: msgspec.json.decode(encoded) for name, encoded in self.finished.outputs.items()}

    @property
    def started(self) -> int:
        return sum(isinstance(told, Started) for told in self.told)

    @property
    def lost(self) -> bool:
        return self.finished.end is None and self.finished.exit.reason == Cause.LOST


def order(
    job: str, inputs: dict[str, Any] | None = None, *, module: str = f"{__package__}.executor_jobs", **more: Any
) -> Order:
    """The order of a new execution."""
    ids, clock = SystemIds(), SystemClock()
    run = ids.run_id(clock.now())
    said: dict[str, Any] = {
        "execution_id": execution_id(run, 0, 0, 1),
        "grace": 5.0,
        "version": __version__,
        "nonce": ids.token(),
    } | more
    return Order(run_id=run, node="node", job=job, source=f"{module}:{job}", inputs=inputs or {}, **said)


async def hear(
    executor: Executor,
    execution_id: str,
    cursor: str = "",
    seq: int = 0,
    line: int = 1,
    heed: Callable[[Heard], object] = lambda heard: None,
) -> Heard:
    """Follow to the end. ``heed`` is given what was heard so far, each time there is more."""
    heard = Heard()
    async for batch in executor.follow(execution_id, cursor, seq, line):
        assert batch, "an empty batch says nothing"
        heard.told.extend(batch)
        heed(heard)
    return heard


async def hear_until(executor: Executor, execution_id: str, text: str) -> Heard:
    """Follow until the console shows ``text``, then stop listening."""
    heard = Heard()
    follower = executor.follow(execution_id, "", 0, 1)
    async for batch in follower:
        heard.told.extend(batch)
        if any(text in line for line in heard.lines):
            break
    await follower.aclose()  # type: ignore[attr-defined]
    return heard


def run(check: Callable[[], Awaitable[T]], deadline: float = DEADLINE) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(deadline):
            return await check()

    return asyncio.run(bounded())


@asynccontextmanager
async def opened(executor: Executor) -> AsyncIterator[Executor]:
    await executor.open()
    try:
        yield executor
    finally:
        await executor.close()


class ExecutorConformance:
    def executor(self) -> Executor:
        raise NotImplementedError("give a new executor of the place under test")

    async def _perform(self, order: Order) -> Heard:
        async with opened(self.executor()) as executor:
            await executor.launch(order)
            heard = await hear(executor, order.execution_id)
            await executor.reap(order.execution_id)
            return heard

    # -- what a job comes to ------------------------------------------------------------------------------------

    def test_a_job_is_started_shown_and_finished(self) -> None:
        heard = run(lambda: self._perform(order("Echo", {"text": "grüße"})))
        besides = (Waiting, Located, Reached)
        assert [type(told) for told in heard.told if not isinstance(told, besides)] == [Started, Output, Finished]
        assert heard.lines == ["grüße"]
        assert heard.finished.end and heard.finished.end.result == "success"
        assert heard.outputs == {"": "grüße"}

    def test_how_far_it_came_is_told_before_its_end_and_in_order(self) -> None:
        heard = run(lambda: self._perform(order("Echo", {"text": "here"})))
        phases = Phases()
        for told in heard.told:
            if isinstance(told, Reached):
                phases = told.phases.over(phases)
        slack = 1.0  # Kubernetes cuts off what is less than a second
        marks = [at for name in Phases.__struct_fields__ if (at := getattr(phases, name)) is not None]
        assert all(later >= earlier - slack for earlier, later in pairwise([*marks, heard.finished.at])), phases

    def test_outputs_too_long_for_one_frame_arrive_whole(self) -> None:
        heard = run(lambda: self._perform(order("Outputs", {"size": 10_000})))
        assert heard.outputs == {"": "done", "large": "é" * 10_000}
        assert any(isinstance(told, Progress) for told in heard.told)

    def test_an_exception_is_told_with_its_message(self) -> None:
        heard = run(lambda: self._perform(order("Fails")))
        end = heard.finished.end
        assert end and end.result == "failure" and end.error
        assert (end.error.type, end.error.message) == ("ValueError", "as it should")
        assert heard.lines[0] == "about to fail"

    def test_an_exit_without_a_result_is_no_success(self) -> None:
        for code in (0, 3):
            heard = run(lambda code=code: self._perform(order("Exits", {"code": code})))  # type: ignore[misc]
            end = heard.finished.end
            assert end and (end.result, end.exit_code) == ("none", code)

    def test_a_killed_job_is_told_with_its_signal_and_its_last_words(self) -> None:
        heard = run(lambda: self._perform(order("Kills")))
        end = heard.finished.end
        assert end and (end.result, end.signal) == ("none", 9)
        assert heard.lines == ["last words"]

    # -- launching ----------------------------------------------------------------------------------------------

    def test_launching_again_is_the_same_execution(self) -> None:
        async def check() -> None:
            wanted = order("Echo")
            async with opened(self.executor()) as one, opened(self.executor()) as other:
                await asyncio.gather(one.launch(wanted), one.launch(wanted), other.launch(wanted))
                heard = [*await asyncio.gather(*(hear(executor, wanted.execution_id) for executor in (one, other)))]
                await other.launch(wanted)
                heard.append(await hear(other, wanted.execution_id))
                await one.reap(wanted.execution_id)
            assert [(each.started, each.lines) for each in heard] == [(1, ["hello"])] * 3

        run(check)

    def test_an_order_that_has_expired_starts_nothing(self) -> None:
        async def check() -> Heard:
            late = order("Echo", expires=SystemClock().monotonic() - 1.0)
            async with opened(self.executor()) as executor:
                try:
                    await executor.launch(late)
                except LaunchDelayed:
                    return await hear(executor, late.execution_id)
                raise AssertionError("an expired order was launched")

        assert run(check).lost

    def test_a_reaped_execution_is_never_started_again(self) -> None:
        async def check() -> Heard:
            wanted = order("Echo")
            async with opened(self.executor()) as one, opened(self.executor()) as other:
                await one.launch(wanted)
                await hear(one, wanted.execution_id)
                await one.reap(wanted.execution_id)
                await one.reap(wanted.execution_id)
                await other.launch(wanted)
                return await hear(other, wanted.execution_id)

        heard = run(check)
        assert heard.lost and len(heard.told) == 1

    # -- following ----------------------------------------------------------------------------------------------

    def test_a_console_is_complete_and_numbered(self) -> None:
        heard = run(lambda: self._perform(order("Lines", {"count": 20_000})))
        numbers = [line.number for line in lines_of(chunk.data for chunk in heard.chunks)]
        assert numbers == list(range(1, 20_001))
        assert [int(text.split(" ")[0]) for text in heard.lines] == numbers

    def test_following_resumes_at_any_cursor_without_loss_or_repeat(self) -> None:
        async def check() -> None:
            wanted = order("Lines", {"count": 6000, "width": 200})
            async with opened(self.executor()) as executor:
                await executor.launch(wanted)
                whole = await hear(executor, wanted.execution_id)
                assert len(whole.chunks) > 2, "the console must be long enough for several chunks"
                some = range(0, len(whole.chunks), 1 + len(whole.chunks) // CURSORS)
                for number, chunk in ((each, whole.chunks[each]) for each in some):
                    rest = await hear(executor, wanted.execution_id, *chunk_end(chunk))
                    texts = [line.text for line in lines_of(c.data for c in [*whole.chunks[: number + 1], *rest.chunks])]
                    assert texts == whole.lines
                    assert rest.finished.outputs == whole.finished.outputs and not rest.started
                await executor.reap(wanted.execution_id)

        run(check)

    def test_an_execution_nobody_knows_is_lost(self) -> None:
        async def check() -> Heard:
            async with opened(self.executor()) as executor:
                return await hear(executor, order("Echo").execution_id)

        heard = run(check)
        assert heard.lost and heard.finished.exit.message

    def test_what_was_told_as_lost_is_never_started_by_a_launch_that_comes_later(self) -> None:
        async def check() -> tuple[Heard, Heard]:
            wanted = order("Echo")
            async with opened(self.executor()) as one:
                before = await hear(one, wanted.execution_id)
                await one.launch(wanted)
                return before, await hear(one, wanted.execution_id)

        before, after = run(check)
        assert before.lost and after.lost
        assert not after.started

    def test_another_scheduler_adopts_what_runs(self) -> None:
        async def check() -> tuple[Heard, Heard]:
            wanted = order("Waits")
            async with opened(self.executor()) as one:
                await one.launch(wanted)
                await hear_until(one, wanted.execution_id, "waiting")
            async with opened(self.executor()) as other:
                shown = await hear_until(other, wanted.execution_id, "waiting")
                await other.stop(wanted.execution_id, 5.0)
                heard = await hear(other, wanted.execution_id)
                await other.reap(wanted.execution_id)
                return shown, heard

        shown, heard = run(check)
        assert shown.lines == ["waiting"] and heard.lines == ["waiting", "stopped"]
        assert heard.finished.end and heard.finished.end.requested == "stop"

    # -- stopping -----------------------------------------------------------------------------------------------

    def test_a_stopped_job_ends_by_itself_within_its_grace(self) -> None:
        heard = run(lambda: self._stopped(order("Waits"), grace=5.0))
        assert heard.lines == ["waiting", "stopped"]
        assert heard.finished.end and (heard.finished.end.requested, heard.finished.end.killed) == ("stop", False)

    def test_a_job_that_does_not_listen_is_killed_after_its_grace(self) -> None:
        heard = run(lambda: self._stopped(order("Stubborn", grace=0.2), grace=0.2))
        assert heard.finished.end and (heard.finished.end.signal, heard.finished.end.killed) == (9, True)

    async def _stopped(self, wanted: Order, grace: float) -> Heard:
        async with opened(self.executor()) as executor:
            await executor.launch(wanted)
            await hear_until(executor, wanted.execution_id, "waiting")
            for _ in range(3):
                await executor.stop(wanted.execution_id, grace)
            heard = await hear(executor, wanted.execution_id)
            await executor.stop(wanted.execution_id, grace)
            await executor.reap(wanted.execution_id)
            return heard

    def test_stopping_what_is_not_there_does_nothing(self) -> None:
        async def check() -> None:
            async with opened(self.executor()) as executor:
                await executor.stop(order("Echo").execution_id, 0.0)
                await executor.reap(order("Echo").execution_id)

        run(check)

    # -- the place ----------------------------------------------------------------------------------------------

    def test_two_executors_of_one_place_say_so(self) -> None:
        one, other = self.executor(), self.executor()
        assert one.place == other.place != ""
        assert one.concurrency >= 1

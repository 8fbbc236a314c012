"""``InlineExecutor``: runs jobs inside this process, on the event loop, and tells of them what a worker would tell.

Made for ``VirtualLoop``: timeouts, graces and sleeps are virtual, and a job that never ends costs nothing. What is special
about a process of its own is not there: jobs share memory, and a job that blocks (``time.sleep``) blocks everything.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from klassd.workflows import __version__
from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.errors import KlassdError, LaunchDelayed
from klassd.workflows.executors.telling import Telling
from klassd.workflows.frames import dumps
from klassd.workflows.job import JobInfo, load_job
from klassd.workflows.model.execution import Exit, Finished, Told
from klassd.workflows.model.states import Cause
from klassd.workflows.order import End, Order
from klassd.workflows.ports import Clock
from klassd.workflows.quantities import limit
from klassd.workflows.testing.capture import captured, speaking
from klassd.workflows.testing.containers import stand_in
from klassd.workflows.testing.deaths import KILL, NEVER_STARTED
from klassd.workflows.testing.passage import NOTHING, Came, Work, passage
from klassd.workflows.testing.recording import Recording, RecordingContext
from klassd.workflows.testing.script import ABSENT, Script
from klassd.workflows.worker.claim import fitting
from klassd.workflows.worker.serving import with_port

if TYPE_CHECKING:
    from klassd.workflows.app import App


class InlineExecutor:
    """``ports.Executor`` without processes.

    ``script``: what goes wrong, and what stands in for jobs. ``services``: by type, what jobs take as further parameters;
    what is not there comes from ``app``. ``jobs``: by source, jobs that need not be importable. ``artifacts``: the store
    behind ``ctx.artifacts``, whatever the order says. ``executions``: those of another executor, which makes the two one
    place seen by two schedulers.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        script: Script | None = None,
        services: Mapping[type, Any] | None = None,
        app: App | None = None,
        jobs: Mapping[str, JobInfo] | None = None,
        artifacts: ArtifactStore | None = None,
        concurrency: int = 100,
        executions: dict[str, InlineExecution] | None = None,
    ) -> None:
        self.executions = {} if executions is None else executions  # every one that was ever launched
        self._place, self._concurrency = "inline", concurrency
        self._closed: set[str] = set()  # told as lost: never started any more
        self._clock, self._script = clock, script or Script()
        self._services, self._app = dict(services or {}), app
        self._jobs, self._artifacts = dict(jobs or {}), artifacts
        self._open = ExitStack()

    @property
    def place(self) -> str:
        return self._place

    @property
    def concurrency(self) -> int:
        return self._concurrency

    async def open(self) -> None:
        self._open.enter_context(captured())

    async def close(self) -> None:
        self._open.close()

    async def launch(self, order: Order) -> None:
        """Nothing happens for an execution id that was launched before."""
        if order.expires is not None and self._clock.monotonic() >= order.expires:
            raise LaunchDelayed(f"the order for {order.execution_id} has expired: nothing was started")
        if order.execution_id not in self.executions and order.execution_id not in self._closed:
            execution = InlineExecution(with_port(order), self._clock, self._artifacts)
            self.executions[order.execution_id] = execution
            execution.begin(partial(self._prepare, order), self._script.death(order))

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        execution = self.executions.get(execution_id)
        if execution is None or execution.reaped:
            self._closed.add(execution_id)
            message = f"nothing is known of {execution_id} here"
            yield [Finished(exit=Exit(reason="lost", message=message), at=self._clock.now())]
            return
        async for batch in execution.follow(cursor, seq, line):
            yield batch

    async def stop(self, execution_id: str, grace: float) -> None:
        if execution := self.executions.get(execution_id):
            execution.request("stop", grace)

    async def reap(self, execution_id: str) -> None:
        if execution := self.executions.get(execution_id):
            execution.reaped = True

    # -- what is called -----------------------------------------------------------------------------------------

    def _prepare(self, order: Order) -> tuple[Work, Callable[[], None]]:
        info = self._jobs.get(order.source) or load_job(order.source)
        instance = info.build(order.inputs)
        if (failure := self._script.failure(order)) is not None:
            return partial(_raise, failure), _nothing
        stub = self._script.stub(order)
        if order.service is not None and stub is not ABSENT:
            return partial(_stand_in, stub, instance), _nothing
        if order.container is not None:
            return stand_in(order, order.container, instance, stub), _nothing
        if stub is not ABSENT:
            return (partial(stub, instance) if callable(stub) else lambda _: stub), _nothing
        services, close = self._build_services(info, order)
        probed = order.service is not None and order.service.ready != "signal"
        return partial(_run, instance, services, probed), close

    def _build_services(self, info: JobInfo, order: Order) -> tuple[dict[str, Any], Callable[[], None]]:
        ours = {name: self._services[service] for name, service in info.services.items() if service in self._services}
        others = {name: service for name, service in info.services.items() if name not in ours}
        if not others:
            return ours, _nothing
        values, close = self._app_of(order, others).build_services(others)
        return {**ours, **values}, close

    def _app_of(self, order: Order, wanted: Mapping[str, type]) -> App:
        if self._app is not None:
            return self._app
        if order.app:
            from klassd.workflows.app import load_app

            return load_app(order.app)
        names = ", ".join(service.__name__ for service in wanted.values())
        raise KlassdError(f"{order.job} takes services ({names}): give them to the test with services={{{names}: ...}} or app=")


def _run(instance: Any, services: Mapping[str, Any], probed: bool, context: RecordingContext) -> Any:
    """A service that is asked at its port in life is ready at once here, where nobody asks."""
    if probed:
        context.signal_ready()
    return instance.run(context, **services)


async def _stand_in(stub: Any, instance: Any, context: RecordingContext) -> None:
    """For a service: ready at once, and up until it is stopped."""
    value = stub(instance, context) if callable(stub) else None
    if inspect.iscoroutine(value):
        await value
    context.signal_ready()
    await asyncio.Event().wait()


class InlineExecution:
    """One job and what a supervisor knows of it."""

    def __init__(self, order: Order, clock: Clock, artifacts: ArtifactStore | None) -> None:
        self.order = order
        self.recording = Recording(clock.now, self._said)
        self.context = RecordingContext(order, self.recording, artifacts)
        self.came: Came = NOTHING
        self.end: End | None = None
        self.reaped = False
        self._clock = clock
        self._started_at = clock.now()
        self._news = asyncio.Event()
        self._exit: Exit | None = None  # it was ended from outside, and this is all that is known of it
        self._died_at = 0.0
        self._heard_of = sys.maxsize  # frames that came before its death
        self._requested: str | None = None
        self._killed = False
        self._kill_at = math.inf
        self._work: asyncio.Task[Came] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._ready_by: asyncio.TimerHandle | None = None
        self._death: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        return self.end is not None or self._exit is not None

    def begin(self, prepare: Callable[[], tuple[Work, Callable[[], None]]], death: Exit | None) -> None:
        if death is None or death.reason not in NEVER_STARTED:
            self.recording.say("hello", dumps({"v": __version__, "x": self.order.execution_id}))
            self.recording.say("start", dumps({"pid": os.getpid()}))
        if death is not None:
            self.die(death)
            return
        self._work = asyncio.create_task(self._speak(prepare), name=self.order.execution_id)
        self._work.add_done_callback(self._work_done)
        if self.order.timeout is not None:
            self._deadline = self._later(self.order.timeout, lambda: self.request("deadline", self.order.grace))
        if self.order.service is not None and self.order.service.ready_within is not None:
            self._ready_by = self._later(self.order.service.ready_within, self._expect_ready)

    def _expect_ready(self) -> None:
        if not self.recording.ready:
            self.request("not_ready", self.order.grace)

    async def _speak(self, prepare: Callable[[], tuple[Work, Callable[[], None]]]) -> Came:
        speaking.set(self.recording)
        return await passage(prepare, self.context, lambda: self._killed)

    def request(self, why: str, grace: float) -> None:
        """Cancel it now, kill it after ``grace`` seconds. The first reason stands."""
        if self._work is None or self._work.done():
            return
        if self._requested is None:
            self._requested, self.context.cancelled = why, True
            self._work.cancel()
        self._cancel_timers()
        now = asyncio.get_running_loop().time()
        self._kill_at = min(self._kill_at, now + grace)
        self._death = self._later(self._kill_at - now, self._kill)

    def die(self, exit: Exit) -> None:
        """Its process or pod is gone at once; what the job still does while it is taken down is heard by nobody."""
        if self.ended:
            return
        self._exit, self._died_at, self._heard_of = self._with_memory(exit), self._clock.now(), len(self.recording.frames)
        self._cancel_timers()
        self._kill()
        self._said()

    def _with_memory(self, exit: Exit) -> Exit:
        """Killed for its memory, it had what it asked for: as a cluster would tell it."""
        needs = self.order.pod.resources if self.order.pod else None
        if exit.reason != Cause.OOM or needs is None or limit(needs.memory) == math.inf:
            return exit
        return msgspec.structs.replace(exit, memory=needs.memory)

    def _kill(self) -> None:
        if self._work is not None:
            self._killed = True
            self._work.cancel()

    def _work_done(self, work: asyncio.Task[Came]) -> None:
        if self._exit is not None:
            return
        if work.cancelled():  # before its first step
            self._finish(NOTHING)
        elif work.exception() is None:
            self._finish(work.result(), signal=KILL if self._killed else None)

    def _finish(self, came: Came, signal: int | None = None) -> None:
        self.came = came
        self._cancel_timers()
        self.recording.console.close()
        for name, value in came.outputs.items():
            self.recording.value(name, value)
        self.end = self._end_of(came, signal)
        self.recording.say("end", fitting(self.end))

    def _end_of(self, came: Came, signal: int | None) -> End:
        return End(
            result=came.result,
            error=came.error,
            stored=came.stored,
            requested=self._requested,
            cause=came.cause,
            exit_code=came.exit_code if signal is None else None,
            signal=signal,
            killed=self._killed,
            lines=self.recording.console.lines,
            outputs={name: (len(value), f"{zlib.crc32(value):08x}") for name, value in came.outputs.items()},
            started_at=self._started_at,
            returned_at=self._clock.now() if came.result != "none" else 0.0,
            finished_at=self._clock.now(),
        )

    async def follow(self, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        """A cursor is the number of frames heard."""
        heard = int(cursor or 0)
        telling = Telling(heard, seq, line)
        while not telling.finished:
            frames = self.recording.frames[heard : self._heard_of]
            heard += len(frames)
            for frame in frames:
                telling.take(frame, frame.seq + 1)
            if batch := telling.batch():
                yield batch
            elif not frames and self._exit is not None:
                yield [Finished(exit=self._exit, at=self._died_at)]
                return
            elif not frames:
                await self._news.wait()

    def _said(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _cancel_timers(self) -> None:
        for timer in (self._deadline, self._ready_by, self._death):
            if timer is not None:
                timer.cancel()

    def _later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, call)


def _raise(error: BaseException, _: object) -> None:
    raise error


def _nothing() -> None:
    return None

"""A cluster, as far as an engine can tell: it starts pods, loses them, and forgets.

It is also the witness. What really happened to an execution stands here, counted without any of the engine's or the store's
help: that is what the invariants hold their promises against.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from contextvars import Context
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.frames import dumps
from klassd.workflows.model.execution import Exit
from klassd.workflows.model.states import StartAnswer
from klassd.workflows.order import End, Error, Order
from klassd.workflows.testing.clock import START
from klassd.workflows.testing.simulation.claiming import GIVES_UP, Asking, Claiming
from klassd.workflows.testing.simulation.faults import Faults
from klassd.workflows.testing.simulation.jobs import Console, Script, script
from klassd.workflows.testing.simulation.loop import SimLoop
from klassd.workflows.testing.simulation.trace import Trace

if TYPE_CHECKING:
    from klassd.workflows.testing.simulation.invariants import Invariants

NODES = 3
UNSECRET = 0.5  # seconds before a pod without its secret looks again
_UNRUN = {
    None: ("start_deadline", Exit(reason="start_deadline", message="no scheduler answered")),
    StartAnswer.TAKEN: ("lost", Exit(reason="lost", message="it was started before, and nothing is left of that")),
    StartAnswer.OVER: ("lost", Exit(reason="lost", message="it was over before it started")),
    StartAnswer.UNKNOWN: ("launch", Exit(reason="launch", message="its secret is not known")),
}
TTL = 90.0  # seconds that a reaped execution is remembered: longer than any lease, so every late order of it has expired
REFUSED = 0.004  # of all executions


class SimJob:
    """An execution in the cluster: an object with pods, of which one at most runs user code."""

    def __init__(self, order: Order, told: Script) -> None:
        self.order, self.script = order, told
        self.console = Console()
        self.token = order.claim
        self.pods = 0
        self.waiting = 0  # pods that have not started yet
        self.node = -1
        self.running = False  # user code
        self.started_at: float | None = None
        self.ended = False
        self.end: End | None = None
        self.exit = Exit()
        self.cause: str | None = None  # what it came to: "" for success
        self.requested: str | None = None
        self.reaped = self.gone = False
        self.rotated = 0  # frames before this one are gone, as far as they are console
        self.dark_since: float | None = None  # when its node went out of sight
        self.excused = False  # it was out of sight for as long as its job allows: it may be given up, whatever it does
        self.step = 0
        self.timers: list[asyncio.TimerHandle] = []
        self.listeners: list[Callable[[], None]] = []

    @property
    def id(self) -> str:
        return self.order.execution_id

    @property
    def task(self) -> tuple[str, str, int]:
        return self.order.run_id, self.order.node, self.order.index

    @property
    def dark(self) -> bool:
        return self.dark_since is not None

    @property
    def said_ready(self) -> bool:
        return any(frame.kind == "ready" for frame in self.console.frames)

    def news(self) -> None:
        listeners, self.listeners = self.listeners, []
        for heard in listeners:
            heard()


class Cluster:
    """``claiming``: how pods ask the store for their start; without, the cluster itself sees to it that one gets it, as the
    file system of a machine does."""

    def __init__(
        self, loop: SimLoop, seed: object, rng: Random, faults: Faults, trace: Trace, claiming: Claiming | None = None
    ) -> None:
        self._loop, self._seed, self._rng, self._faults, self._trace = loop, seed, rng, faults, trace
        self.claiming = claiming
        self._context = Context()
        self.invariants: Invariants
        self.jobs: dict[str, SimJob] = {}  # every one there ever was
        self.starts: dict[str, int] = {}  # how often user code was started, by execution
        self.claims: set[str] = set()
        self.refused: set[str] = set()
        self.no_quota_until = 0.0

    def _later(self, seconds: float, call: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, call, *args, context=self._context)

    # -- what schedulers ask for --------------------------------------------------------------------------------

    def launch(self, order: Order, full: bool) -> None:
        """Idempotent by the execution's id. ``full``: there is no room for it now."""
        now = self._loop.time()
        job = self.jobs.get(order.execution_id)
        if job is not None and not job.gone:
            job.token = job.token or order.claim
            return
        if order.expires is not None and now >= order.expires:
            raise LaunchDelayed(f"the order for {order.execution_id} has expired")
        if full or now < self.no_quota_until:
            raise LaunchDelayed("exceeded quota", retry_after=0.5)
        told = script(self._seed, order, REFUSED)
        if told.refused and self._faults.strikes("launch.refused"):
            self.refused.add(order.execution_id)
            raise LaunchRefused("the cluster does not take this spec")
        job = self.jobs[order.execution_id] = SimJob(order, told)
        self.pod(job, told.pending)

    def stop(self, execution_id: str, grace: float) -> None:
        job = self.jobs.get(execution_id)
        if job is None or job.ended or job.dark:
            return
        if not job.running:
            self.die(job, "stopped", Exit(reason="stopped", message="stopped before it started"))
        else:
            self._request(job, "stop", grace)

    def reap(self, execution_id: str) -> None:
        job = self.jobs.get(execution_id)
        if job is not None and not job.reaped:
            job.reaped = True
            self._later(TTL, self._forget, job)
            self._end_given_up(job)

    def unknown_since(self, execution_id: str) -> float | None:
        job = self.jobs.get(execution_id)
        if job is None or job.gone or job.dark_since is None:
            return None
        self.invariants.said_unknown(job, self._loop.time() - job.dark_since)
        return START + job.dark_since

    def _end_given_up(self, job: SimJob) -> None:
        if job.running and job.reaped and not job.dark:
            self.die(job, "lost", Exit(reason="lost", message="it was given up while its node was out of sight"))

    def _forget(self, job: SimJob) -> None:
        job.gone = True
        self.claims.discard(job.id)
        self._trace.add("cluster", f"forgets {job.id}")

    # -- pods ---------------------------------------------------------------------------------------------------

    def pod(self, job: SimJob, pending: float) -> None:
        job.pods += 1
        job.waiting += 1
        job.timers.append(self._later(pending, self._start, job, job.pods))

    def _start(self, job: SimJob, pod: int) -> None:
        if self.claiming is None or (job.id in self.claims and job.started_at is None):
            self._run(job, pod) if self.claim(job) else self._refuse(job, pod, StartAnswer.TAKEN)
        elif not job.token:
            job.timers.append(self._later(UNSECRET, self._start, job, pod))  # its volume is not there yet
        else:
            until = self._loop.time() + (job.order.start_deadline or GIVES_UP)
            heard = partial(self._heard, job, pod)
            self.claiming.ask(Asking(job.id, job.token, self._pod_name(job, pod), until, heard))

    @staticmethod
    def _pod_name(job: SimJob, pod: int) -> str:
        return f"pod {pod} of {job.id}"

    def _heard(self, job: SimJob, pod: int, answer: StartAnswer | None) -> None:
        name = self._pod_name(job, pod)
        if answer is StartAnswer.TAKEN:
            self.invariants.refused(job, name)
        if answer is not StartAnswer.GRANTED:
            self._refuse(job, pod, answer)
        elif not job.ended:
            self.invariants.granted(job, name)
            self._run(job, pod)

    def _refuse(self, job: SimJob, pod: int, answer: StartAnswer | None) -> None:
        job.waiting -= 1
        self._trace.add("cluster", f"pod {pod} of {job.id} does not get the start ({answer or 'no answer'}) and ends")
        if not job.running and job.waiting <= 0 and not job.ended:
            self.die(job, *_UNRUN[answer])

    def _run(self, job: SimJob, pod: int) -> None:
        job.waiting -= 1
        job.running, job.started_at = True, self._loop.time()
        job.node = self._rng.randrange(NODES)
        self.starts[job.id] = self.starts.get(job.id, 0) + 1
        self._trace.add("cluster", f"pod {pod} of {job.id} starts user code")
        self.invariants.started(job)
        self._say(job, "hello", b'{"v":"sim"}')
        self._say(job, "start", b'{"pid":1}')
        if job.order.timeout is not None:
            job.timers.append(self._later(job.order.timeout, self._request, job, "deadline", job.order.grace))
        if job.order.service is not None and job.order.service.ready_within is not None:
            job.timers.append(self._later(job.order.service.ready_within, self._expect_ready, job))
        self._go_on(job)

    def _expect_ready(self, job: SimJob) -> None:
        if not job.said_ready:
            self._request(job, "not_ready", job.order.grace)

    def claim(self, job: SimJob) -> bool:
        """The start-claim: one of all the pods of an execution, ever."""
        if job.id in self.claims:
            return False
        self.claims.add(job.id)
        return True

    def _go_on(self, job: SimJob) -> None:
        if job.step < len(job.script.steps):
            job.timers.append(self._later(job.script.steps[job.step][0], self._step, job))
        elif job.script.end != "endless":
            job.timers.append(self._later(self._rng.random() * 0.1, self._finish, job, job.script.end))

    def _step(self, job: SimJob) -> None:
        if not job.running:
            return
        what = job.script.steps[job.step][1]
        job.step += 1
        if what != "ready" or job.requested is None:  # of one that is to end its supervisor does not tell it any more
            job.console.step(what, self._loop.time())
            self._trace.add("cluster", f"{job.id} says {what}")
            job.news()
        self._go_on(job)

    def _say(self, job: SimJob, kind: str, body: bytes) -> None:
        job.console.say(kind, body, self._loop.time())
        job.news()

    # -- ends ---------------------------------------------------------------------------------------------------

    def _request(self, job: SimJob, why: str, grace: float) -> None:
        """Asked to end: by somebody, or by its own timeout."""
        if not job.running:
            return
        if job.requested is None:
            job.requested = why
            if job.script.on_stop != "ignores":
                job.timers.append(self._later(job.script.yields, self._yield, job))
        job.timers.append(self._later(grace, self._kill, job))

    def _yield(self, job: SimJob) -> None:
        how = job.script.on_stop
        self._finish(job, {"obeys": "interrupted", "succeeds": "late_success"}.get(how, "exception"))

    def _kill(self, job: SimJob) -> None:
        if job.running:
            self._record(job, End(result="none", signal=9, killed=True, requested=job.requested), job.requested or "signal")

    def _finish(self, job: SimJob, how: str) -> None:
        if not job.running:
            return
        requested = job.requested
        match how:
            case "success" | "unstored" | "late_success":
                self._succeed(job, stored=how != "unstored")
            case "exception" | "permanent":
                error = Error(type="ValueError", message="boom", retry=how == "exception")
                self._record(
                    job, End(result="failure", error=error, exit_code=1, requested=requested), requested or "exception"
                )
            case "interrupted":
                self._record(job, End(result="none", exit_code=0, requested=requested), requested or "no_result")
            case "exit":
                self._record(job, End(result="none", exit_code=3, requested=requested), requested or "exit")
            case "no_result":
                self._record(job, End(result="none", exit_code=0, requested=requested), requested or "no_result")
            case _:
                self._record(job, End(result="none", signal=11, requested=requested), requested or "signal")

    def _succeed(self, job: SimJob, stored: bool) -> None:
        """A success that was recorded before the request took effect stands."""
        values = job.console.values({"": job.script.output}, self._loop.time())
        manifest = {name: (len(value), f"{zlib.crc32(value):08x}") for name, value in values.items()}
        end = End(result="success", stored=stored, exit_code=0, outputs=manifest)
        self._record(job, end, "" if stored else "output")

    def _record(self, job: SimJob, end: End, cause: str) -> None:
        now = self._loop.time()
        started = START + (job.started_at or 0.0)
        job.end = msgspec.structs.replace(end, lines=len(job.console.lines), started_at=started, finished_at=START + now)
        self._say(job, "end", dumps(msgspec.to_builtins(job.end)))
        self.die(job, "stopped" if cause == "stop" else cause, Exit())

    def die(self, job: SimJob, cause: str, exit_: Exit) -> None:
        """No user code of it runs any more, and this is why."""
        if job.ended:
            return
        job.running, job.ended = False, True
        job.cause, job.exit = cause, exit_
        for timer in job.timers:
            timer.cancel()
        job.timers.clear()
        job.waiting = 0
        self.claims.add(job.id)  # whatever comes later of it finds it over
        self._trace.add("cluster", f"{job.id} is over: {cause or 'success'}")
        self.invariants.ended(job)
        job.news()

    # -- what clusters do by themselves ---------------------------------------------------------------------------

    def some(self, fits: Callable[[SimJob], bool]) -> SimJob | None:
        fitting = [job for job in self.jobs.values() if not job.gone and fits(job)]
        return self._rng.choice(fitting) if fitting else None

    def second_pod(self) -> bool:
        job = self.some(lambda job: not job.reaped)
        if job is None:
            return False
        self._trace.add("cluster", f"makes a second pod of {job.id}")
        self.pod(job, self._rng.random() * 2.0)
        return True

    def kill_some(self, reason: str) -> bool:
        """Evicted or out of memory, with or without the worker's own record of it."""
        job = self.some(lambda job: job.running and not job.dark)
        if job is None:
            return False
        self.die(job, reason, Exit(reason=reason, signal=9))
        return True

    def delete_some(self) -> bool:
        """By hand, with all that is known of it."""
        job = self.some(lambda job: not job.ended and not job.dark)
        if job is None:
            return False
        self._trace.add("cluster", f"{job.id} is deleted by hand")
        self.die(job, "lost", Exit(reason="lost", message="deleted by somebody"))
        job.gone = self._rng.random() < 0.5
        return True

    def rotate_some(self) -> bool:
        job = self.some(lambda job: job.running and len(job.console.frames) > 3)
        if job is None:
            return False
        job.rotated = self._rng.randint(3, len(job.console.frames))
        self._trace.add("cluster", f"the log of {job.id} is rotated: its first {job.rotated} frames are gone")
        return True

    def lose_node(self, dead: bool) -> bool:
        """Out of sight: nobody can tell whether its pods run. They do, unless it is dead; then that is known later."""
        node = self._rng.randrange(NODES)
        pods = [job for job in self.jobs.values() if job.running and job.node == node and not job.dark]
        if not pods:
            return False
        self._trace.add("cluster", f"node {node} is out of sight with {len(pods)} pods{', dead' if dead else ''}")
        for job in pods:
            job.dark_since = self._loop.time()
            if dead:
                self.die(job, "lost", Exit(reason="lost", message=f"node {node} is gone"))
            job.news()
        self._later(self._rng.random() * (120.0 if dead else 60.0), self._find_node, node, pods)
        return True

    def _find_node(self, node: int, pods: list[SimJob]) -> None:
        self._trace.add("cluster", f"it is known again what became of node {node}")
        for job in pods:
            job.dark_since = None
            self._end_given_up(job)
            job.news()

    def heal(self) -> None:
        self.no_quota_until = 0.0

    @property
    def unreaped(self) -> list[SimJob]:
        return [job for job in self.jobs.values() if not job.reaped and not job.gone]

    @property
    def alive(self) -> list[SimJob]:
        return [job for job in self.jobs.values() if job.running]

"""A store, a cluster, some schedulers and an application, and what befalls them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextvars import Context
from random import Random
from types import MappingProxyType
from typing import Any

from klassd.workflows.client import Client
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.errors import StoreError
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.testing.clock import Deadlock
from klassd.workflows.testing.simulation.claiming import Claiming
from klassd.workflows.testing.simulation.cluster import Cluster
from klassd.workflows.testing.simulation.executor import SimExecutor
from klassd.workflows.testing.simulation.faults import Faults
from klassd.workflows.testing.simulation.invariants import Invariants, Violation
from klassd.workflows.testing.simulation.jobs import ENDLESS
from klassd.workflows.testing.simulation.loop import Circle, SimLoop, abandon
from klassd.workflows.testing.simulation.process import SimClock, SimIds, SimProcess
from klassd.workflows.testing.simulation.store import Hints, SimStore
from klassd.workflows.testing.simulation.trace import Trace
from klassd.workflows.testing.simulation.workload import QUEUE_CAPS, Workload

CHAOS_EVERY = 60  # events between two things that befall somebody, on average
SCRIPTED_EVERY = 7  # events of a kind from one scripted fault to the next
HOUR = 3600.0
LONGEST = 6 * HOUR  # of virtual time until the wanted events must have happened


class Replica:
    """One scheduler and its process."""

    def __init__(self, process: SimProcess, scheduler: Scheduler) -> None:
        self.process, self.scheduler = process, scheduler
        self.closing = False
        self.over = asyncio.Event()


class World:
    def __init__(
        self,
        seed: object,
        *,
        schedulers: int | None = None,
        rates: Mapping[str, float] = MappingProxyType({}),
        without: Collection[str] = (),
        skip: Collection[int] = (),
        items: Collection[int] | None = None,
        script: Mapping[str, str] = MappingProxyType({}),
        claims: bool | None = None,
    ) -> None:
        self.rng = rng = Random(f"{seed}/world")
        self.loop = SimLoop()
        self.loop.set_exception_handler(lambda *_: None)  # answers to the dead are not retrieved
        self.trace = Trace(self.loop.time)
        self.faults = Faults(Random(f"{seed}/faults"), rates, without, skip)
        self.data = MemoryData()
        self.memory = MemoryStore(clock=SimClock(self.loop), data=self.data)
        self.cluster = Cluster(
            self.loop, seed, Random(f"{seed}/cluster"), self.faults, self.trace, self._claiming(seed, claims)
        )
        self.invariants = Invariants(self.data, self.cluster, QUEUE_CAPS, self.loop.time, self.broken)
        self.cluster.invariants = self.invariants
        self.hints = Hints(self.loop, rng, self.faults, self.trace)
        self.ids = SimIds(rng)
        self.violation: Violation | None = None
        self.replicas: list[Replica] = []
        self._count = schedulers or rng.choice((1, 2, 2, 3))
        self._concurrency = rng.choice((2, 4, 8))
        self._births = 0
        self._ending = False
        self._context = Context()
        self._over = self.loop.create_future()
        self._seed, self._items, self._script = seed, items, script
        self._processes: list[SimProcess] = []  # the dead too: what is left of them must not be tidied up at any moment

    def _claiming(self, seed: object, claims: bool | None) -> Claiming | None:
        rng = Random(f"{seed}/claims")
        if not (rng.random() < 0.5 if claims is None else claims):
            return None
        claiming = Claiming(self.loop, rng, self.faults, self.trace, self.memory)
        claiming.servers = lambda: [replica.process for replica in self.replicas if replica.process.running]
        return claiming

    # -- the course of it ---------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        logger = logging.getLogger("klassd.workflows")
        before, logger.disabled = logger.disabled, True
        course = self.loop.create_task(self._run(steps))
        course.add_done_callback(lambda _: self.loop.stop())
        try:
            self.loop.run_forever()
            if course.done():
                course.result()
        except (Circle, Deadlock) as stuck:
            self.violation = Violation("it goes on", "", str(stuck))
        finally:
            logger.disabled = before
            self._tidy_up(course)

    async def _run(self, steps: int) -> None:
        app = self._process("app")
        client = Client(self._store(app), app.clock, self.ids, app, close_store=False)
        self.workload = Workload(self._seed, app, client, self.faults, self._items)
        for _ in range(self._count):
            self._start_scheduler()
        app.spawn(self.workload.go_on(), "workload")
        self.trace.at(steps, self._enough)
        self._plan_chaos()
        for text, kind in self._script.items():
            self.trace.watch(text, self._scripted(kind))
        await self._until(self._over, LONGEST)
        self._end_faults()
        await self._quiet(client)
        self.invariants.at_the_end()
        await self._close()
        self.invariants.closed()

    def _enough(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def broken(self, violation: Violation) -> None:
        """The first violation ends it: what comes after is of no use."""
        if self.violation is None:
            self.violation = violation
            self.trace.add("VIOLATION", str(violation))
        self._enough()
        self.loop.stop()

    async def _until(self, future: asyncio.Future[None], seconds: float) -> None:
        await asyncio.wait([future], timeout=seconds)

    def _tidy_up(self, course: asyncio.Task[None]) -> None:
        abandon([course])
        for process in self._processes:
            process.abandon()
        self.loop.close()

    # -- processes ----------------------------------------------------------------------------------------------

    def _process(self, name: str) -> SimProcess:
        process = SimProcess(name, self.loop, self._task_failed)
        self._processes.append(process)
        return process

    def _task_failed(self, process: SimProcess, task: str, error: BaseException) -> None:
        if not isinstance(error, Violation):
            message = f"task {task!r} of {process.name} ended with {type(error).__name__}: {error}"
            self.broken(Violation("no task is lost", "", message))

    def _store(self, process: SimProcess) -> SimStore:
        return SimStore(process, self.memory, self.loop, self.rng, self.faults, self.trace, self.hints, self.invariants)

    def _start_scheduler(self) -> None:
        if self._ending:  # this one was to take the place of one that crashed
            return
        self._births += 1
        process = self._process(f"scheduler-{self._births}")
        executor = SimExecutor(
            process, self.cluster, self.loop, self.rng, self.faults, self.trace, self.invariants, self._concurrency
        )
        scheduler = process.context.run(self._make, process, executor)
        replica = Replica(process, scheduler)
        self.replicas.append(replica)
        self.trace.add(process.name, "starts")
        process.spawn(self._begin(replica), "start")

    def _make(self, process: SimProcess, executor: SimExecutor) -> Scheduler:
        return Scheduler(
            self._store(process),
            executor,
            clock=process.clock,
            ids=self.ids,
            spawner=process,
            call=_no_call,
            queue_caps=QUEUE_CAPS,
        )

    async def _begin(self, replica: Replica) -> None:
        """As a supervisor of processes does it: one that cannot start is started again."""
        try:
            await replica.scheduler.start()
        except StoreError:
            self._later(0.0, self._crash, replica)

    def _later(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        self.loop.call_later(seconds, call, *args, context=self._context)

    # -- what befalls them --------------------------------------------------------------------------------------

    def _plan_chaos(self) -> None:
        """After so many events, and so between any two of them."""
        target = len(self.trace) + self.rng.randint(1, 2 * CHAOS_EVERY)
        self.trace.at(target, lambda: self._later(0.0, self._chaos))

    def _chaos(self) -> None:
        if not self.faults.on:
            return
        kind = self.faults.chaos()
        if self.faults.strikes(kind) and not self._befall(kind):
            self.faults.missed(kind)
        self._plan_chaos()

    def _scripted(self, kind: str) -> Callable[[str], None]:
        """At the first event and at every so many after it."""
        count = 0

        def told(who: str) -> None:
            nonlocal count
            if self.faults.on and count % SCRIPTED_EVERY == 0:
                self._later(0.0, self._strike, kind, who)
            count += 1

        return told

    def _strike(self, kind: str, who: str) -> None:
        """The scheduler that did it; any, where it was none."""
        running = [replica for replica in self.replicas if replica.process.running and not replica.closing]
        named = [replica for replica in running if replica.process.name == who] or running
        if kind.startswith(("pod.", "node.", "quota", "log.")):
            happened = self._befall(kind)
        else:
            happened = bool(named) and self._befall_scheduler(kind, self.rng.choice(named))
        self.faults.fired[kind] += happened

    def _befall(self, kind: str) -> bool:
        """Whether it could happen."""
        rng, now, cluster = self.rng, self.loop.time(), self.cluster
        match kind:
            case "pod.second":
                return cluster.second_pod()
            case "pod.evicted" | "pod.oom":
                return cluster.kill_some(kind.removeprefix("pod."))
            case "pod.deleted":
                return cluster.delete_some()
            case "node.partition" | "node.dead":
                return cluster.lose_node(kind == "node.dead")
            case "log.rotated":
                return cluster.rotate_some()
            case "quota":
                cluster.no_quota_until = now + rng.random() * 10.0
                self.trace.add("cluster", f"the quota is used up until {cluster.no_quota_until:.1f}")
                return True
        replicas = [replica for replica in self.replicas if replica.process.running and not replica.closing]
        return bool(replicas) and self._befall_scheduler(kind, rng.choice(replicas))

    def _befall_scheduler(self, kind: str, replica: Replica) -> bool:
        rng, now, process = self.rng, self.loop.time(), replica.process
        self.trace.add(process.name, f"[{kind}]")
        match kind:
            case "scheduler.crash":
                self._crash(replica)
            case "scheduler.pause":
                self._pause(replica, rng.choice((2.0, 20.0, 20.0, 600.0)) * rng.random())
            case "scheduler.close":
                replica.closing = True
                process.spawn(self._close_one(replica), "close")
            case "clock.jump":
                process.clock.skew = rng.uniform(-600.0, 600.0)
            case "lease.flap":
                process.no_renewal_until = now + rng.random() * 40.0
            case "store.partition":
                process.no_store_until = now + rng.random() * 40.0
            case _:
                process.no_cluster_until = now + rng.random() * 40.0
        return True

    def _crash(self, replica: Replica) -> None:
        if replica.process.dead:
            return
        self._bury(replica)
        self.invariants.crashed.add(replica.process.name)
        self._later(self.rng.random() * self.rng.choice((0.1, 5.0, 60.0)), self._start_scheduler)

    def _bury(self, replica: Replica) -> None:
        replica.process.kill()
        self.replicas.remove(replica)
        self.invariants.died(replica.process)
        replica.over.set()
        self.hints.watchers = [watcher for watcher in self.hints.watchers if watcher.process is not replica.process]

    def _pause(self, replica: Replica, seconds: float) -> None:
        replica.process.pause()
        self._later(seconds, self._resume, replica)

    def _resume(self, replica: Replica) -> None:
        if replica.process.paused and not replica.process.dead:
            self.trace.add(replica.process.name, "goes on")
            replica.process.resume()

    async def _close_one(self, replica: Replica) -> None:
        try:
            await replica.scheduler.close()
        except StoreError:
            self.trace.add(replica.process.name, "ends without having said so")
            self.invariants.crashed.add(replica.process.name)
        self._later(0.0, self._closed, replica)

    def _closed(self, replica: Replica) -> None:
        self.trace.add(replica.process.name, "has ended")
        self._bury(replica)
        if not self._ending:
            self._later(self.rng.random() * 5.0, self._start_scheduler)

    # -- the end ------------------------------------------------------------------------------------------------

    def _end_faults(self) -> None:
        self.trace.add("world", "no more faults")
        self.faults.on = False
        self.workload.stop()
        self.cluster.heal()
        for replica in self.replicas:
            process = replica.process
            process.clock.skew = 0.0
            process.no_store_until = process.no_cluster_until = process.no_renewal_until = 0.0
            self._resume(replica)

    async def _quiet(self, client: Client) -> None:
        """Until nothing is left to do, an hour at most. What would run for ever is cancelled."""
        since = self.loop.time()
        end = since + HOUR
        while not self.invariants.quiet and self.loop.time() < end and self.violation is None:
            for run in [run for run in self.data.runs.values() if ENDLESS in run.tags and not run.status.final]:
                if run.id not in self.invariants.cancelled:
                    await client.cancel(run.id)
            self.invariants.calm(since)
            await asyncio.sleep(1.0)

    async def _close(self) -> None:
        self._ending = True
        for replica in list(self.replicas):
            if not (replica.process.dead or replica.closing):  # one that was asked to end before does so by itself
                replica.closing = True
                replica.process.spawn(self._close_one(replica), "close")
            await replica.over.wait()


def _no_call(name: str, arguments: dict[str, Any]) -> object:
    raise LookupError(f"no condition of a simulated workflow calls {name}({arguments})")

"""``VirtualEngine``: the real engine in a plain test, in virtual time that the test lets pass.

Scheduler, rules, client and the checks of inputs and outputs are the real ones; the store (in memory), the processes (this
one) and time are made for tests. Nothing runs but while one of its verbs is called; each returns when everything that is due
by then has happened.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.client import Client, RunView
from klassd.workflows.composition import call_condition
from klassd.workflows.engine import scheduler
from klassd.workflows.errors import KlassdError
from klassd.workflows.model.page import RunQuery
from klassd.workflows.model.workflow import Definition
from klassd.workflows.options import seconds
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import TaskSpawner, make_run_id
from klassd.workflows.testing.clock import START, VirtualClock, VirtualLoop, virtual_runner
from klassd.workflows.testing.deaths import How, death
from klassd.workflows.testing.inline import InlineExecution, InlineExecutor
from klassd.workflows.testing.memory import MemoryArtifacts
from klassd.workflows.testing.results import WorkflowResult
from klassd.workflows.testing.script import Kills, Script
from klassd.workflows.testing.virtual_run import VirtualRun, run_result
from klassd.workflows.wake import Wake

if TYPE_CHECKING:
    from klassd.workflows.app import App
    from klassd.workflows.client import Runnable
    from klassd.workflows.workflow import Workflow

T = TypeVar("T")

MOMENT = 0.1  # seconds: lines wait 10 ms for company, and the engine looks for requests every 50 ms
LEASE = 30 * 86400.0  # every renewal is a step of the virtual clock; a scheduler that dies is made to lose its lease
POLL = 86400.0  # the store in memory loses no hint
Artifacts = ArtifactStore | str | os.PathLike[str] | None


class CountingIds:
    """``ports.Ids`` without chance: the same test gives the same ids."""

    def __init__(self) -> None:
        self._count = 0

    def run_id(self, now: float) -> str:
        self._count += 1
        return make_run_id(now, self._count)

    def token(self) -> str:
        self._count += 1
        return f"{self._count:012x}{0:020x}"  # names are made of its beginning


class VirtualEngine:
    """``with testing.VirtualEngine() as engine``: enqueue, let time pass, break things, look.

    By the name of a node, or ``"node[2]"`` for one item of a fan-out, for every run that has it:
    ``stubs``: what stands in for the node's job, a value or a function of (job, ctx), sync or async;
    ``fail``: how many first attempts raise, or the exception that every attempt raises;
    ``kill``: how the first attempts die at their start: "evicted", ["evicted", "oom"], or how many of them by signal 9.

    ``services``: by type, what ``run`` takes besides the context; what is not there comes from ``app``. ``artifacts``: a
    directory, URL or store; in memory if not given. ``concurrency``: how many executions run at once. ``start``: the time at
    which it begins, also in seconds since the epoch. Time is exact to a tenth of a second.

    Leaving it kills what still runs, and raises UnknownName for a script about a node that no run had.
    """

    def __init__(
        self,
        app: App | None = None,
        *,
        services: Mapping[type, Any] | None = None,
        artifacts: Artifacts = None,
        stubs: Mapping[str, Any] | None = None,
        fail: Mapping[str, int | BaseException] | None = None,
        kill: Mapping[str, Kills] | None = None,
        concurrency: int = 100,
        config: Mapping[str, Any] | None = None,
        start: datetime | float = START,
    ) -> None:
        self._app, self._services, self._artifacts = app, services, artifacts
        self._script = Script(fail or {}, kill or {}, stubs or {})
        self._concurrency, self._config = concurrency, dict(config or {})
        self._start = start.timestamp() if isinstance(start, datetime) else start
        self._passed = 0.0
        self._definitions: dict[str, Definition] = {}  # by run
        self._open = False

    def __enter__(self) -> VirtualEngine:
        self._runner = virtual_runner()
        self._loop = cast(VirtualLoop, self._runner.get_loop())
        self._open = True
        self._do(self._begin())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._do(self._end())
        finally:
            self._open = False
            self._runner.close()
        if error is None:
            self.check_script()

    # -- what a test does ---------------------------------------------------------------------------------------

    def enqueue(
        self,
        work: Runnable | Workflow,
        *,
        unique_key: str | None = None,
        delay: timedelta | float | str | None = None,
        tags: Sequence[str] = (),
        tenant: str = "",
        params: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> VirtualRun:
        """As of ``Client.enqueue``, with a run to look at instead of its id. It has begun when this returns, if it is due."""
        enqueued = self._client.enqueue(
            work, unique_key=unique_key, delay=delay, tags=tags, tenant=tenant, params=params, queue=queue, priority=priority
        )
        run_id = self._do(enqueued)
        self._definitions[run_id] = self._do(self._client.view(run_id)).definition
        self._pass(0)
        return VirtualRun(self, run_id)

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let that much time pass, and everything happen that is due by then."""
        passed = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
        if passed < 0:
            raise ValueError(f"time does not go back: advance() by {passed:g} s")
        self._pass(passed)

    def finish(self, run: VirtualRun, *, within: timedelta | float | str = "1d") -> WorkflowResult:
        """Let time pass until the run is over. Raises TimeoutError with what is still under way ``within`` that time."""
        limit = within.total_seconds() if isinstance(within, timedelta) else seconds(within, "within")
        self._do(self._over(run.id, limit))
        self._passed = max(self._passed, self._loop.time())
        self._pass(0)
        return run.result

    def cancel(self, run: VirtualRun) -> bool:
        """Ask for it to be cancelled. False: it is over already."""
        asked = self._do(self._client.cancel(run.id))
        self._pass(0)
        return asked

    def rerun(self, run: VirtualRun) -> VirtualRun:
        """A new run of the same snapshot with the same parameters."""
        run_id = self._do(self._client.rerun(run.id))
        self._definitions[run_id] = self._definitions[run.id]
        self._pass(0)
        return VirtualRun(self, run_id)

    def kill(self, node: str | None = None, *, how: How = "signal", run: VirtualRun | None = None) -> None:
        """End the running attempt of that node at once: by "signal" 9, for having used too much memory ("oom"), "evicted" or
        "lost" with its machine, at a "deadline" of the cluster, with an "exit" code and "no_result" ...

        ``"node[2]"`` means one item of a fan-out; no node: whatever runs. Raises KlassdError with what is running where this
        is not exactly one attempt, and UnknownName for a node that no run has.
        """
        end = death(how)
        self._running(node, run).die(end)
        self._pass(0)

    def restart(self, *, after: timedelta | float | str = scheduler.LEASE) -> None:
        """The scheduler dies without a word, and another takes its runs over when its lease has run out. Until then jobs run
        on, and nobody hears them."""
        down = after.total_seconds() if isinstance(after, timedelta) else seconds(after, "after")
        self._do(self._spawner.close())
        self._pass(down)
        self._do(self._take_over())
        self._pass(0)

    # -- what it looks at ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._start + self._passed, UTC)

    def runs(self, name: str | None = None) -> list[VirtualRun]:
        """In the order they were enqueued. ``name``: of a workflow or job."""
        return [VirtualRun(self, run_id) for run_id in self._do(self._run_ids(name))]

    def result(self, run: VirtualRun) -> WorkflowResult:
        now = self._start + self._passed
        return self._do(run_result(self._client, self._executor, run.id, self._start, now))

    def check_script(self) -> None:
        """Raises UnknownName for a script about a node that no run had: one that never applies proves nothing."""
        self._script.check(self._nodes(None))

    # -- inside -------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._clock, self._ids = VirtualClock(self._start), CountingIds()
        self._store = MemoryStore(clock=self._clock)
        self._client = Client(self._store, self._clock, self._ids, TaskSpawner())
        self._executor = InlineExecutor(
            self._clock,
            script=self._script,
            services=self._services,
            app=self._app,
            artifacts=artifact_store(self._artifacts),
            concurrency=self._concurrency,
        )
        await self._start_scheduler()

    async def _start_scheduler(self) -> None:
        self._spawner = TaskSpawner()
        self._scheduler = scheduler.Scheduler(
            self._store,
            self._executor,
            clock=self._clock,
            ids=self._ids,
            spawner=self._spawner,
            call=call_condition,
            config=self._config,
            lease=LEASE,
            poll=POLL,
        )
        await self._scheduler.start()

    async def _take_over(self) -> None:
        await self._store.renew(self._scheduler.owner, 0.0)
        await self._start_scheduler()

    async def _end(self) -> None:
        await self._scheduler.close()
        for execution in self._executor.executions.values():
            execution.die(death("lost"))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if not self._open:
            work.close()
            raise KlassdError("this VirtualEngine is not open: use it, and look at its runs, inside its `with` block")
        return self._runner.run(work)

    def _pass(self, passed: float) -> None:
        self._passed += passed
        self._loop.run_until(self._passed, MOMENT)

    async def _over(self, run_id: str, within: float) -> None:
        spawner, wake = TaskSpawner(), Wake(self._store)
        spawner.spawn(wake.listen(), "hints")
        await self._clock.sleep(0)  # from here on it hears every hint of this store, so that nothing need be looked at twice
        until = self._clock.monotonic() + within
        try:
            while not (await self._client.run(run_id)).status.final:
                wake.clear()
                await wake.wait(until - self._clock.monotonic())
                if self._clock.monotonic() >= until:
                    raise TimeoutError(_still_under_way(await self._client.view(run_id), within))
        finally:
            await spawner.close()

    async def _run_ids(self, name: str | None) -> list[str]:
        ids: list[str] = []
        after: str | None = None
        while True:
            page = await self._client.runs(RunQuery(name=name, limit=1000, after=after))
            ids += [run.id for run in page.items]
            if (after := page.next) is None:
                return ids[::-1]

    # -- which execution is meant -------------------------------------------------------------------------------

    def _running(self, node: str | None, run: VirtualRun | None) -> InlineExecution:
        if node is not None:
            Script(stubs={node: None}).check(self._nodes(run))
        running = {self._shown(each): each for each in self._executor.executions.values() if not each.ended}
        meant = [each for each in running.values() if _fits(each, node, run)]
        if len(meant) == 1:
            return meant[0]
        what = f"{node or 'anything'}{f' of run {run.id}' if run else ''}"
        found = f"{len(meant)} running attempts" if meant else "no running attempt"
        hint = "; a job that awaits nothing takes no time: give kill= to the engine instead" if not meant else ""
        raise KlassdError(f"{what} has {found}, and kill() ends one. Running: {', '.join(running) or 'nothing'}{hint}")

    def _nodes(self, run: VirtualRun | None) -> list[str]:
        definitions = self._definitions.values() if run is None else [self._definitions[run.id]]
        return list(dict.fromkeys(node.name for definition in definitions for node in definition.nodes))

    def _shown(self, execution: InlineExecution) -> str:
        order = execution.order
        mapped = any(node.name == order.node and node.mapped for node in self._definitions[order.run_id].nodes)
        return f"{order.node}{f'[{order.index}]' if mapped else ''} of run {order.run_id}"


def artifact_store(artifacts: Artifacts) -> ArtifactStore:
    if isinstance(artifacts, str | os.PathLike):
        return store_for(os.fspath(artifacts))
    return artifacts or MemoryArtifacts()


def _fits(execution: InlineExecution, node: str | None, run: VirtualRun | None) -> bool:
    order = execution.order
    named = node in (None, order.node, f"{order.node}[{order.index}]")
    return named and (run is None or run.id == order.run_id)


def _still_under_way(view: RunView, within: float) -> str:
    nodes = ", ".join(f"{node.name} ({node.status})" for node in view.nodes if not node.status.final)
    return f"{view.run.name} has not ended within {within:g} s of virtual time; under way: {nodes or 'nothing'}"

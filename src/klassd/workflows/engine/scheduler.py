"""The scheduler: owns runs under a lease, keeps them going, lets them go.

Any number of schedulers share a store. Level-triggered: a hint only makes it look sooner than ``POLL``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.engine.dispatch import Dispatcher, Gate, launching
from klassd.workflows.engine.keeper import Keeper
from klassd.workflows.engine.keeping import Deps, Keeping
from klassd.workflows.engine.lease import Lease
from klassd.workflows.engine.live import Live
from klassd.workflows.engine.pipeline import Pipeline
from klassd.workflows.engine.strangers import Strangers
from klassd.workflows.engine.sweeper import Sweeper
from klassd.workflows.engine.unheard import unheard
from klassd.workflows.errors import StoreError
from klassd.workflows.model.run import Change, LoadedRun, RunPatch
from klassd.workflows.model.states import RunStatus
from klassd.workflows.model.workflow import Definition, definition_from
from klassd.workflows.options import Needs
from klassd.workflows.ports import Clock, Executor, Ids, LeavesBehind, Spawner, Store
from klassd.workflows.wake import Wake

log = logging.getLogger("klassd.workflows")

POLL = 1.0  # seconds between looks when no hint comes; hints of other processes can be lost
LOOK_AROUND = 0.05  # seconds at least between looks for cancel requests and due runs
LEASE = 15.0
RECORD = 0.02  # seconds that a launch may wait for its record on the disk: so many are recorded ahead under load
ABANDONED = (
    100  # runs of dead schedulers that one with its hands full takes over at once: their executions run, or wait, anyhow
)
AHEAD = 0.05  # claim as many runs beyond the free slots as end in this many seconds: hides the store's latency under load
FLUSH = 5.0  # seconds at most for what is decided to be stored before the runs are let go
COMPANY = 2  # runs waiting here at least, so that a run that fills every slot shares them with another
DEFINITIONS = 256  # decoded definitions kept
TIDY = 600.0  # seconds between looks for what killed schedulers have left behind


class Scheduler:
    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        clock: Clock,
        ids: Ids,
        spawner: Spawner,
        call: Callable[[str, dict[str, Any]], object],
        lease: float = LEASE,
        poll: float = POLL,
        queues: Sequence[str] | None = None,
        queue_caps: Mapping[str, int] | None = None,
        only: Sequence[str] | None = None,
        config: dict[str, Any] | None = None,
        resources: Mapping[str, Needs] | None = None,
        artifacts: str = "",
        version: str = "",
        sweeper: Sweeper | None = None,
    ) -> None:
        self._store, self._executor = store, executor
        self._clock, self._spawner = clock, spawner
        self._queues, self._only = queues, only
        self._sweeper = sweeper
        self._poll = poll
        self.owner = f"scheduler-{ids.token()[:12]}"
        self._lease = Lease(store, clock, self.owner, lease, self._let_go_of_lost)
        self._dispatcher: Dispatcher[tuple[Keeping, Live]] = Dispatcher(executor.concurrency, queue_caps)
        self._keepers: dict[str, Keeper] = {}
        self._definitions: OrderedDict[str, Definition] = OrderedDict()
        self._wake = Wake(store)
        self._looked_around = -math.inf
        self._claimed_at = self._adopted_at = -math.inf
        self._next_due: float | None = None
        self._unheard = False  # a claim was not answered: it may have given us runs
        self._pace = _Pace(clock)
        self._dispatching = False
        self._deps = Deps(
            store=store,
            executor=executor,
            clock=clock,
            ids=ids,
            spawner=spawner,
            lease=self._lease,
            dispatcher=self._dispatcher,
            gate=Gate(executor.concurrency),
            launching=launching(executor),
            call=call,
            config=config or {},
            resources=resources or {},
            artifacts=artifacts,
            version=version,
            released=self._released,
            forget=self._forget,
        )

    async def __aenter__(self) -> Scheduler:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        await self._executor.open()
        await self._lease.renew()
        self._spawner.spawn(self._lease.keep(), "lease")
        self._spawner.spawn(self._wake.listen(), "hints")
        self._spawner.spawn(self._own_runs(), "own runs")
        if isinstance(self._executor, LeavesBehind):
            self._spawner.spawn(self._tidy(self._executor), "tidy")
        if self._sweeper is not None:
            self._spawner.spawn(self._sweeper.keep(), "retention")

    async def close(self) -> None:
        """Let go of every run, so that another scheduler takes them at once. Running jobs go on undisturbed."""
        await self._flush()
        await self._spawner.close()
        mark("before:release")
        await self._store.release(self.owner)
        mark("after:release")
        await self._executor.close()

    async def _flush(self) -> None:
        """Give what is decided a chance to be stored; what is not, the next owner decides again."""
        try:
            async with asyncio.timeout(FLUSH):
                for keeper in list(self._keepers.values()):
                    await keeper.pipeline.flushed()
        except TimeoutError:
            log.warning("the store did not take everything within %g s; the next owner goes on from what it has", FLUSH)

    @property
    def holds_lease(self) -> bool:
        """Whether it may act at this moment."""
        return self._lease.safe

    @property
    def kept(self) -> int:
        """Runs owned at this moment."""
        return len(self._keepers)

    # -- owning -------------------------------------------------------------------------------------------------

    async def _own_runs(self) -> None:
        while True:
            self._wake.clear()
            wait = self._poll
            try:
                await self._claim()
                wait = await self._look_around()
            except StoreError as error:
                log.warning("the store is unavailable, looking again in %g s: %s", wait, error)
            await self._wake.wait(wait)

    async def _claim(self) -> None:
        await self._lease.held()
        if self._unheard:
            await self._keep_unheard()
        while self._wants_runs() and (self._dispatcher.free > 0 or self._claim_is_due()):
            room = self._room()
            self._claimed_at = self._clock.monotonic()
            if await self._take(room) < room:
                return
        await self._adopt()

    async def _adopt(self) -> None:
        """With no room for more: what has begun elsewhere needs an owner all the same, to be heard, stopped, tried again."""
        if self._clock.monotonic() - self._adopted_at >= self._poll:
            self._adopted_at = self._clock.monotonic()
            await self._take(ABANDONED, abandoned=True)

    async def _take(self, limit: int, *, abandoned: bool = False) -> int:
        """Claim runs and keep them; how many there were."""
        mark("before:claim")
        self._unheard = True
        claimed = await self._store.claim_runs(
            self.owner, limit, self._clock.now(), self._queues, self._only, abandoned=abandoned
        )
        self._unheard = False
        if claimed:
            mark("after:claim")
        for loaded in claimed:
            self._keep(loaded)
        return len(claimed)

    async def _keep_unheard(self) -> None:
        """Nobody else would ever take what a lost answer named, while our lease lives."""
        async for loaded in unheard(self._store, self.owner, self._keepers):
            self._keep(loaded)
        self._unheard = False

    def _claim_is_due(self) -> bool:
        """With every slot taken, a claim can wait: each is a transaction, and each of our own commits is a hint."""
        return self._clock.monotonic() - self._claimed_at >= LOOK_AROUND

    def _room(self) -> int:
        """Claim no more than can start soon: what is hoarded here, an idle scheduler elsewhere cannot have. Counted in runs,
        so that the waiting items of a large one do not keep the small ones out."""
        return max(0, self._dispatcher.free) + self._ahead() - self._dispatcher.runs_waiting

    def _ahead(self) -> int:
        return max(COMPANY, math.floor(self._pace.per_second * AHEAD))

    def _wants_runs(self) -> bool:
        """Not one by one: while there is work waiting, a claim is worth its transaction from half a load on."""
        return self._room() > (self._ahead() // 2 if self._dispatcher.runs_waiting >= COMPANY else 0)

    def _keep(self, loaded: LoadedRun) -> None:
        try:
            keeper = Keeper(self._deps, loaded, self._definition(loaded))
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            self._refuse(loaded, error)
            return
        self._keepers[loaded.run.id] = keeper
        run, verb = loaded.run, "begins" if loaded.run.epoch == 1 else "goes on here"
        log.info("run %s of %s %s", run.id, run.name, verb, extra={"run": run.id, "status": str(run.status)})
        try:
            keeper.begin()
        except Exception as error:
            keeper.quarantine(error)

    def _refuse(self, loaded: LoadedRun, error: Exception) -> None:
        """A run whose snapshot cannot be read ends with that error; the others go on."""
        message = f"its definition cannot be read by this version: {error}"
        patch = RunPatch(status=RunStatus.FAILED, finished_at=self._clock.now(), error=message)
        pipeline = Pipeline(self._store, self._clock, self._spawner, loaded.run.id, lambda: None, lambda _: None)
        pipeline.add(Change(run_id=loaded.run.id, epoch=loaded.run.epoch, run=patch))

    def _definition(self, loaded: LoadedRun) -> Definition:
        key = loaded.run.definition
        if key not in self._definitions:
            self._definitions[key] = definition_from(loaded.definition)
            if len(self._definitions) > DEFINITIONS:
                self._definitions.popitem(last=False)
        self._definitions.move_to_end(key)
        return self._definitions[key]

    async def _let_go_of_lost(self) -> None:
        """The lease had run out. A run that another took meanwhile may be over and forgotten by now, so that not even its
        claim would keep this scheduler from starting it again: ask before anything is started."""
        keepers = [keeper for keeper in self._keepers.values() if not keeper.ended]
        if keepers:
            nothing = [Change(run_id=keeper.run.id, epoch=keeper.run.epoch) for keeper in keepers]
            for keeper, ours in zip(keepers, await self._store.commit(nothing), strict=True):
                if not ours:
                    keeper.drop()

    def _forget(self, keeper: Keeping) -> None:
        """Unless the run has come back meanwhile and another keeps it: the old one may hear late that it was lost."""
        if self._keepers.get(keeper.run.id) is keeper:
            del self._keepers[keeper.run.id]

    # -- slots --------------------------------------------------------------------------------------------------

    def _released(self) -> None:
        self._pace.ended()
        self._dispatcher.ahead = min(self._executor.concurrency, math.floor(self._pace.per_second * RECORD))
        if not self._dispatching:
            self._dispatch()
        if self._wants_runs():
            self._wake.set()

    def _dispatch(self) -> None:
        """Not re-entrant: starting something that is stopped already frees its slot again, a thousand times perhaps."""
        self._dispatching = True
        for keeper, live in self._dispatcher.ready():
            keeper.start(live)
        self._dispatching = False

    # -- looking ------------------------------------------------------------------------------------------------

    async def _look_around(self) -> float:
        """Cancel requests and what becomes due; how long to wait for the next look."""
        now = self._clock.monotonic()
        if now - self._looked_around >= LOOK_AROUND:
            self._looked_around = now
            for run_id in await self._store.cancel_requests(self.owner) if self._keepers else ():
                if keeper := self._keepers.get(run_id):
                    keeper.cancel()
            self._next_due = await self._store.next_due(self._clock.now())
            due = math.inf if self._next_due is None else self._next_due - self._clock.now()
            return max(0.001, min(self._poll, due))
        return LOOK_AROUND

    # -- tidying ------------------------------------------------------------------------------------------------

    async def _tidy(self, executor: LeavesBehind) -> None:
        """A run that has ended is nobody's any more: what a crash left of it is cleaned up by whoever comes by."""
        strangers = Strangers()
        while True:
            try:
                unknown = []
                for execution_id in await executor.unreaped():
                    execution = await self._store.get_execution(execution_id)
                    if execution is None:
                        unknown.append(execution_id)
                    elif execution.status.final:
                        await self._executor.reap(execution_id)
                strangers.seen(unknown)
            except (StoreError, OSError) as error:
                log.warning("what was left behind cannot be tidied up, trying again in %g s: %s", TIDY, error)
            await self._clock.sleep(TIDY)


class _Pace:
    """How many executions end per second, over about the last second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._count = 0
        self.per_second = 0.0

    def ended(self) -> None:
        self._count += 1
        passed = self._clock.monotonic() - self._since
        if passed >= 0.1:
            weight = math.exp(-passed)
            self.per_second = self.per_second * weight + (self._count / passed) * (1 - weight)
            self._since, self._count = self._clock.monotonic(), 0

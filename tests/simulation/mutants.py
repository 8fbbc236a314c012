"""Planted faults, one for each mechanism that keeps a promise. The simulation is worth what it finds of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from klassd.workflows.engine import ends, launcher, listener, stopper
from klassd.workflows.engine.dispatch import Dispatcher, Gate
from klassd.workflows.engine.keeper import Keeper
from klassd.workflows.engine.keeping import Keeping
from klassd.workflows.engine.lease import Lease
from klassd.workflows.engine.live import Live
from klassd.workflows.engine.pipeline import Effect, Pipeline
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.errors import LaunchDelayed, LaunchRefused, StoreError
from klassd.workflows.executors.telling import Telling
from klassd.workflows.model.execution import Exit, Finished, Told, Unknown
from klassd.workflows.model.run import Change, ExecutionPatch, Run, hash_token
from klassd.workflows.model.states import Cause, ExecutionStatus, StartAnswer
from klassd.workflows.model.workflow import Definition
from klassd.workflows.order import Order
from klassd.workflows.ports import Clock, Executor, Ids, LosesSight, NewRun
from klassd.workflows.rules import lifecycle, services
from klassd.workflows.rules.advance import TaskReady, _Decision
from klassd.workflows.rules.state import NodeState
from klassd.workflows.stores.common import key_of
from klassd.workflows.stores.memory import MemoryData, MemoryStore, _patched, _place
from klassd.workflows.testing.simulation import cluster
from klassd.workflows.testing.simulation.cluster import Cluster
from klassd.workflows.wake import Wake

MUTANTS: dict[str, Callable[[], Any]] = {}


def mutant(owner: Any, attribute: str) -> Callable[[Any], Any]:
    """The function stands in for ``owner.attribute`` while the mutant lives; its name is the mutant's."""

    def register(stand_in: Any) -> Any:
        def alive() -> Any:
            return replaced(owner, attribute, stand_in)

        MUTANTS[getattr(stand_in, "__name__", None) or stand_in.fget.__name__] = alive
        return stand_in

    return register


@contextmanager
def replaced(owner: Any, attribute: str, stand_in: Any) -> Iterator[None]:
    before = owner.__dict__[attribute]
    setattr(owner, attribute, stand_in)
    try:
        yield
    finally:
        setattr(owner, attribute, before)


async def nothing(*_: Any) -> None:
    return None


# -- the store ----------------------------------------------------------------------------------------------------------


def _apply(self: MemoryData, change: Change, stale: bool, final: bool) -> bool:
    run = self.runs.get(change.run_id)
    if run is None or (run.epoch != change.epoch and not stale) or (run.status.final and not final):
        return False
    if change.run:
        said = {name: value for name, value in msgspec.structs.asdict(change.run).items() if value is not None}
        self.put(msgspec.structs.replace(run, **said))
    self._apply_nodes(change)
    self._apply_executions(change)
    self._apply_logs(change)
    return True


@mutant(MemoryData, "apply")
def the_store_takes_writes_of_an_old_epoch(self: MemoryData, change: Change) -> bool:
    return _apply(self, change, stale=True, final=False)


@mutant(MemoryData, "apply")
def the_store_changes_final_runs(self: MemoryData, change: Change) -> bool:
    return _apply(self, change, stale=True, final=True)


@mutant(MemoryData, "_apply_executions")
def the_store_forgets_rows_that_exist_when_a_start_is_repeated(self: MemoryData, change: Change) -> None:
    rows = self.executions.setdefault(change.run_id, {})
    for execution in change.started:
        rows[key_of(execution.id, change.run_id)] = execution
    for patch in change.updated[1:]:
        key = key_of(patch.id, change.run_id)
        if key in rows:
            rows[key] = _patched(rows[key], patch)


@mutant(MemoryData, "_apply_logs")
def the_store_appends_log_chunks_again(self: MemoryData, change: Change) -> None:
    for execution_id, chunk in change.logs:
        chunks = self.logs.setdefault(execution_id, [])
        chunks.append(chunk)
        chunks.sort(key=_place)


@mutant(MemoryData, "insert")
def the_store_does_not_look_at_idempotency_keys(self: MemoryData, new: NewRun) -> str:
    return _insert(self, NewRun(run=msgspec.structs.replace(new.run, tags=new.run.tags), definition=new.definition))


def _insert(self: MemoryData, new: NewRun) -> str:
    key = (new.run.tenant, new.run.idempotency_key or "")
    self.keys.pop(key, None)
    return INSERT(self, new)


INSERT = MemoryData.insert


@mutant(MemoryData, "give")
def the_epoch_does_not_grow(self: MemoryData, run: Run, owner: str, now: float) -> None:
    GIVE(self, run, owner, now)
    self.put(msgspec.structs.replace(self.runs[run.id], epoch=max(1, run.epoch)))


GIVE = MemoryData.give


@mutant(MemoryData, "claimable")
def runs_are_taken_from_owners_that_live(self: MemoryData, now: float) -> Iterator[tuple[int, str]]:
    return iter(sorted((-run.priority, run.id) for run in self.runs.values() if not run.status.final))


@mutant(MemoryStore, "release")
async def a_lease_is_not_released(self: MemoryStore, owner: str) -> None:
    for run_id in list(self.data.owned.get(owner, ())):
        self.data.put(msgspec.structs.replace(self.data.runs[run_id], owner="nobody"))


# -- who owns a run -----------------------------------------------------------------------------------------------------


@mutant(Lease, "held")
async def nobody_waits_for_the_lease(self: Lease) -> None:
    return None


@mutant(Lease, "safe")
def the_lease_is_trusted_to_its_last_moment_and_beyond(self: Lease) -> bool:
    return self._clock.monotonic() < self.until + self.ttl


MUTANTS["the_lease_is_trusted_to_its_last_moment_and_beyond"] = lambda: replaced(
    Lease, "safe", property(the_lease_is_trusted_to_its_last_moment_and_beyond)
)


@mutant(Scheduler, "_let_go_of_lost")
async def a_lease_that_came_back_is_trusted_for_every_run(self: Scheduler) -> None:
    return None


@mutant(Scheduler, "_keep_unheard")
async def runs_of_a_lost_claim_are_not_looked_for(self: Scheduler) -> None:
    self._unheard = False


@mutant(Keeper, "drop")
def a_run_that_was_lost_is_kept(self: Keeper) -> None:
    return None


def without_expiry(keeper: Keeping, order: Order) -> Order:
    return order


@contextmanager
def orders_do_not_expire() -> Iterator[None]:
    """In a cluster that forgets soon: where it remembers for longer than a message may be under way, that alone would do."""
    with replaced(cluster, "TTL", SHORT_MEMORY), replaced(launcher, "with_expiry", without_expiry):
        yield


MUTANTS["orders_do_not_expire"] = orders_do_not_expire
SHORT_MEMORY = 20.0  # seconds: longer than a lease, shorter than the longest way of a message


# -- decided, committed, done -------------------------------------------------------------------------------------------


@mutant(Pipeline, "add")
def effects_do_not_wait_for_their_commit(self: Pipeline, change: Change, effects: Sequence[Effect] = ()) -> None:
    ADD(self, change)
    for effect in effects:
        effect()


ADD = Pipeline.add


@mutant(Pipeline, "_commit")
async def a_refused_commit_is_taken_for_a_good_one(self: Pipeline, change: Change) -> bool:
    await COMMIT(self, change)
    return True


@mutant(Pipeline, "_commit")
async def a_commit_that_failed_is_not_repeated(self: Pipeline, change: Change) -> bool:
    try:
        (accepted,) = await self._store.commit([change])
    except StoreError:
        return True
    return accepted


COMMIT = Pipeline._commit


@mutant(Pipeline, "_start")
def commits_overtake_each_other(self: Pipeline) -> None:
    self._flushing = False
    self._spawner.spawn(self._flush(), "flush")


@mutant(Keeper, "finish")
def the_executor_forgets_before_the_end_is_stored(self: Keeper, live: Live, finished: Finished, *rest: Any) -> None:
    stopper.reap(self, live)
    FINISH(self, live, finished, *rest)


FINISH = Keeper.finish


# -- launching ----------------------------------------------------------------------------------------------------------


@mutant(Cluster, "claim")
def nobody_claims_a_start(self: Cluster, job: Any) -> bool:
    return True


@mutant(MemoryData, "claim_start")
def whoever_claims_a_start_gets_it(self: MemoryData, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
    answer = CLAIM_START(self, execution_id, token_hash, started_by)
    return StartAnswer.GRANTED if answer is StartAnswer.TAKEN else answer


@mutant(MemoryData, "claim_start")
def a_claim_whose_answer_was_lost_is_refused(
    self: MemoryData, execution_id: str, token_hash: str, started_by: str
) -> StartAnswer:
    execution = self.execution(execution_id)
    again = execution is not None and execution.started_by is not None
    return StartAnswer.TAKEN if again else CLAIM_START(self, execution_id, token_hash, started_by)


CLAIM_START = MemoryData.claim_start


@mutant(launcher, "armed")
async def only_the_latest_owners_secret_counts(
    order: Order, patch: ExecutionPatch, known: tuple[str, ...], *rest: Any
) -> Order:
    return await ARMED(order, patch, (), *rest)


@mutant(launcher, "armed")
async def a_secret_is_handed_out_before_its_hash_is_stored(
    order: Order, patch: ExecutionPatch, known: tuple[str, ...], epoch: int, ids: Ids, pipeline: Pipeline
) -> Order:
    token = ids.token()
    added = msgspec.structs.replace(patch, token_hashes=(*known, hash_token(token)))
    pipeline.add(Change(run_id=order.run_id, epoch=epoch, updated=(added,)))
    return msgspec.structs.replace(order, claim=token)


ARMED = launcher.armed


@mutant(launcher, "launch")
async def a_cancelled_launch_of_an_earlier_owner_is_taken_for_none(keeper: Keeping, live: Live) -> Finished | None:
    if live.stop_requested:
        return Finished(exit=Exit(reason=Cause.STOPPED, message="stopped before it started"))
    return await LAUNCH(keeper, live)


@mutant(launcher, "launch")
async def a_launch_without_an_answer_is_taken_for_none(keeper: Keeping, live: Live) -> Finished | None:
    try:
        await keeper.deps.lease.held()
        await keeper.deps.executor.launch(launcher.with_expiry(keeper, launcher.order_of(keeper, live)))
    except (OSError, LaunchDelayed, LaunchRefused) as error:
        return Finished(exit=Exit(reason=Cause.LAUNCH, message=str(error)))
    return None


LAUNCH = launcher.launch


@mutant(Keeper, "_spawn_attempt")
def what_was_starting_is_not_launched_by_the_next_owner(self: Keeper, live: Live, launch: bool) -> None:
    SPAWN(self, live, launch and not live.adopted)


SPAWN = Keeper._spawn_attempt


@mutant(Gate, "enter")
async def the_gate_is_open(self: Gate) -> None:
    self._free -= 1


@mutant(Dispatcher, "_capped")
def queues_have_no_caps(self: Dispatcher[Any], queue: str) -> bool:
    return False


@mutant(Keeper, "_release")
def slots_are_not_given_back(self: Keeper, live: Live) -> None:
    live.slot = False


@mutant(NodeState, "cap")
def max_parallel_is_not_looked_at(self: NodeState) -> int:
    return self.count


MUTANTS["max_parallel_is_not_looked_at"] = lambda: replaced(NodeState, "cap", property(max_parallel_is_not_looked_at))


# -- following ----------------------------------------------------------------------------------------------------------


@mutant(listener, "follow")
async def a_log_that_is_cut_off_is_taken_for_a_death(keeper: Keeping, live: Live, resumed: bool) -> None:
    cursor = await keeper.deps.store.log_cursor(live.id) if resumed else ("", 0, 1)
    try:
        async for batch in keeper.deps.executor.follow(live.id, *cursor):
            listener.heard(keeper, live, batch)
    except OSError:
        keeper.finish(live, Finished(exit=Exit(reason=Cause.LOST)))


@mutant(listener, "follow")
async def a_store_that_is_away_fails_the_run_that_is_taken_over(keeper: Keeping, live: Live, resumed: bool) -> None:
    while keeper.current(live):
        cursor = await keeper.deps.store.log_cursor(live.id) if resumed else ("", 0, 1)
        try:
            async for batch in keeper.deps.executor.follow(live.id, *cursor):
                listener.heard(keeper, live, batch)
        except OSError:
            await keeper.pipeline.flushed()
            await keeper.deps.clock.sleep(1.0)
        resumed = True


@mutant(listener, "follow")
async def a_console_is_read_from_its_beginning_again(keeper: Keeping, live: Live, resumed: bool) -> None:
    while keeper.current(live):
        try:
            async for batch in keeper.deps.executor.follow(live.id, "", 0, 1):
                listener.heard(keeper, live, batch)
        except OSError:
            await keeper.deps.clock.sleep(1.0)


@mutant(Telling, "_mark_gap")
def missing_lines_are_not_marked(self: Telling, seq: int, until: int) -> None:
    self._line = until


# -- ends ---------------------------------------------------------------------------------------------------------------


@mutant(ends, "is_late")
def a_job_stopped_for_starting_late_is_told_as_stopped_on_request(live: Live, finished: Finished) -> bool:
    return live.late and live.started_at is None


@mutant(lifecycle, "verdict")
def a_success_whose_outputs_were_not_stored_is_a_success(
    finished: Finished, stop_requested: bool, **more: bool
) -> lifecycle.Verdict:
    if finished.end is not None and finished.end.result == "success":
        finished = msgspec.structs.replace(finished, end=msgspec.structs.replace(finished.end, stored=True))
    return VERDICT(finished, stop_requested, **more)


VERDICT = lifecycle.verdict


@mutant(stopper, "insist")
async def a_stop_is_asked_for_once(keeper: Keeping, live: Live, grace: float | None = None) -> None:
    await live.launched.wait()
    if keeper.current(live):
        await stopper.until_answered(keeper, "stop", live, lambda: keeper.deps.executor.stop(live.id, live.node.options.grace))


@mutant(stopper, "until_answered")
async def what_had_no_answer_is_forgotten(keeper: Keeping, verb: str, live: Live, ask: Callable[[], Any]) -> None:
    try:
        await ask()
    except OSError:
        return


@mutant(stopper, "reap")
def nothing_is_reaped(keeper: Keeping, live: Live) -> None:
    return None


@mutant(Scheduler, "_tidy")
async def what_a_crash_left_behind_stays_there(self: Scheduler, executor: Executor) -> None:
    return None


@mutant(Keeper, "cancel")
def cancelling_stops_nothing(self: Keeper) -> None:
    return None


# -- nodes out of sight -------------------------------------------------------------------------------------------------


@mutant(listener, "stays_unknown")
async def what_is_out_of_sight_is_given_up_at_once(executor: Executor, *_: Any) -> bool:
    return isinstance(executor, LosesSight)


@mutant(listener, "stays_unknown")
async def what_was_told_of_a_node_is_not_asked_anew(
    executor: Executor, clock: Clock, execution_id: str, told: Unknown, patience: float
) -> bool:
    await clock.sleep(patience)
    return isinstance(executor, LosesSight)


# -- services -----------------------------------------------------------------------------------------------------------


@mutant(listener, "is_ready")
def a_service_is_ready_when_it_runs(live: Live, batch: Sequence[Told]) -> TaskReady | None:
    if live.node.service is None or live.status is not ExecutionStatus.RUNNING:
        return None
    return TaskReady(live.task[0], live.attempt, "cluster:1")


@mutant(services, "users")
def services_are_stopped_while_they_are_used(definition: Definition) -> dict[str, set[str]]:
    return {name: set(sorted(using)[:1]) for name, using in USERS(definition).items()}


USERS = services.users


@mutant(services, "fallen")
def what_relied_on_a_dead_service_goes_on_and_is_tried_again(node: NodeState, status_of: Any) -> None:
    return None


@mutant(_Decision, "_one_user_less")
def services_are_never_stopped(self: _Decision, service: NodeState) -> None:
    return None


# -- waiting ------------------------------------------------------------------------------------------------------------


@mutant(Wake, "wait")
async def hints_are_trusted_to_come(self: Wake, seconds: float) -> None:
    await self._event.wait()


@mutant(Lease, "keep")
async def the_lease_is_not_kept_after_an_error(self: Lease) -> None:
    while True:
        await self._clock.sleep(self.ttl / 3)
        try:
            await self.renew()
        except StoreError:
            await asyncio.Event().wait()

"""P8: schedulers are disposable. A run has one owner at a time, under a lease and an epoch."""

from __future__ import annotations

import asyncio

from klassd.workflows.model.run import NodeRow, RunPatch
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus, StartAnswer
from klassd.workflows.ports import Store
from klassd.workflows.testing.store_checks.bench import DEFINITION, LONG, NOW, SHORT, Bench, check, execution, patch, text_chunk


class Claiming:
    @check
    async def test_a_claimed_run_has_its_owner_and_epoch_and_runs(self, bench: Bench) -> None:
        run_id = await bench.enqueue()
        await bench.store.renew("one", LONG)
        (loaded,) = await bench.store.claim_runs("one", 10, NOW + 100)
        assert (loaded.run.owner, loaded.run.epoch) == ("one", 1)
        assert (loaded.run.status, loaded.run.started_at) == (RunStatus.RUNNING, NOW + 100)
        assert (loaded.definition, loaded.nodes, loaded.executions) == (DEFINITION, (), ())
        assert loaded.run == await bench.run(run_id)

    @check
    async def test_each_run_comes_with_its_own_definition(self, bench: Bench) -> None:
        ids = [await bench.enqueue(definition=f"d{n}") for n in range(3)]
        assert [loaded.run.definition for loaded in await bench.claim()] == ["d0", "d1", "d2"]
        assert [loaded.run.id for loaded in await bench.claim("two")] != ids

    @check
    async def test_nobody_claims_without_a_lease(self, bench: Bench) -> None:
        await bench.enqueue()
        assert await bench.store.claim_runs("one", 10, NOW + 100) == []

    @check
    async def test_nobody_claims_under_a_lease_that_has_run_out(self, bench: Bench) -> None:
        await bench.enqueue()
        await bench.store.renew("one", SHORT)
        await bench.outlive(SHORT)
        assert await bench.store.claim_runs("one", 10, NOW + 100) == []

    @check
    async def test_no_more_than_the_limit_are_claimed(self, bench: Bench) -> None:
        ids = [await bench.enqueue() for _ in range(5)]
        assert [loaded.run.id for loaded in await bench.claim(limit=2)] == ids[:2]
        assert [loaded.run.id for loaded in await bench.claim(limit=0)] == []
        assert [loaded.run.id for loaded in await bench.claim(limit=9)] == ids[2:]

    @check
    async def test_runs_are_claimed_by_priority_then_age(self, bench: Bench) -> None:
        ids = {
            n: await bench.enqueue(priority=p, queue=q) for n, (p, q) in enumerate([(0, "a"), (5, "b"), (-1, "a"), (5, "a")])
        }
        assert [loaded.run.id for loaded in await bench.claim(limit=3)] == [ids[1], ids[3], ids[0]]
        assert [loaded.run.id for loaded in await bench.claim(limit=3)] == [ids[2]]

    @check
    async def test_a_run_is_claimed_once_it_is_due(self, bench: Bench) -> None:
        later = await bench.enqueue(not_before=NOW + 500)
        now = await bench.enqueue()
        await bench.store.renew("one", LONG)
        assert [loaded.run.id for loaded in await bench.store.claim_runs("one", 10, NOW + 499)] == [now]
        assert [loaded.run.id for loaded in await bench.store.claim_runs("one", 10, NOW + 500)] == [later]

    @check
    async def test_the_next_due_time_is_that_of_the_earliest_delayed_run(self, bench: Bench) -> None:
        assert await bench.store.next_due(NOW + 100) is None
        for delay in (500, 300, 400):
            await bench.enqueue(not_before=NOW + delay)
        await bench.enqueue()
        assert await bench.store.next_due(NOW + 100) == NOW + 300
        assert await bench.store.next_due(NOW + 300) == NOW + 400
        await bench.claim()
        assert await bench.store.next_due(NOW + 100) is None

    @check
    async def test_delayed_runs_do_not_stand_in_the_way_of_due_ones(self, bench: Bench) -> None:
        for _ in range(30):
            await bench.enqueue(not_before=NOW + 5000, priority=9)
        due = await bench.enqueue()
        await bench.store.renew("one", LONG)
        assert [loaded.run.id for loaded in await bench.store.claim_runs("one", 1, NOW + 1000)] == [due]

    @check
    async def test_only_runs_of_the_given_queues_are_claimed(self, bench: Bench) -> None:
        ids = {queue: await bench.enqueue(queue=queue) for queue in ("a", "b", "c")}
        assert await bench.claim(queues=[]) == []
        assert {loaded.run.id for loaded in await bench.claim(queues=["a", "c", "nothing"])} == {ids["a"], ids["c"]}
        assert [loaded.run.id for loaded in await bench.claim()] == [ids["b"]]

    @check
    async def test_only_the_runs_asked_for_are_claimed(self, bench: Bench) -> None:
        first, second, third = [await bench.enqueue() for _ in range(3)]
        assert await bench.claim(only=[]) == []
        assert [loaded.run.id for loaded in await bench.claim(only=[third, first, "nobody", first])] == [first, third]
        assert await bench.claim("two", only=[first]) == []
        assert await bench.claim(only=[second], queues=["other"]) == []
        assert [loaded.run.id for loaded in await bench.claim(only=[second], queues=["default"])] == [second]

    @check
    async def test_a_delayed_run_is_not_claimed_early_by_its_id_either(self, bench: Bench) -> None:
        run_id = await bench.enqueue(not_before=NOW + 500)
        await bench.store.renew("one", LONG)
        assert await bench.store.claim_runs("one", 1, NOW + 499, only=[run_id]) == []
        assert len(await bench.store.claim_runs("one", 1, NOW + 500, only=[run_id])) == 1

    @check
    async def test_a_run_is_handed_out_once(self, bench: Bench) -> None:
        await bench.running()
        assert await bench.claim("one") == []
        assert await bench.claim("two") == []

    @check
    async def test_final_runs_are_never_claimed(self, bench: Bench) -> None:
        run_id = await bench.finished()
        await bench.store.release("one")
        assert await bench.claim("two") == []
        assert await bench.claim("two", only=[run_id]) == []

    @check
    async def test_owners_that_race_never_share_a_run_and_leave_none(self, bench: Bench) -> None:
        ids = [await bench.enqueue(queue=f"q{n % 3}", priority=n % 5) for n in range(60)]
        handles = {f"owner-{n}": await bench.another() for n in range(4)}
        taken = await asyncio.gather(*(_claim_all(store, owner) for owner, store in handles.items()))
        assert sorted(run_id for of_owner in taken for run_id in of_owner) == sorted(ids)
        for owner, of_owner in zip(handles, taken, strict=True):
            assert {(await bench.run(run_id)).owner for run_id in of_owner} <= {owner}


async def _claim_all(store: Store, owner: str) -> list[str]:
    await store.renew(owner, LONG)
    claimed: list[str] = []
    while loaded := await store.claim_runs(owner, 3, NOW + 1000):
        claimed += [each.run.id for each in loaded]
        await asyncio.sleep(0)
    return claimed


class Leasing:
    @check
    async def test_a_lease_that_is_renewed_in_time_is_held(self, bench: Bench) -> None:
        assert await bench.store.renew("one", LONG)
        assert await bench.store.renew("one", LONG)

    @check
    async def test_a_late_owner_is_told(self, bench: Bench) -> None:
        await bench.store.renew("one", SHORT)
        await bench.outlive(SHORT)
        assert not await bench.store.renew("one", LONG)
        assert await bench.store.renew("one", LONG)

    @check
    async def test_everybody_can_tell_whose_lease_is_live(self, bench: Bench) -> None:
        other = await bench.another()
        assert not await other.is_live("one")
        await bench.store.renew("one", SHORT)
        await bench.store.renew("two", LONG)
        assert await other.is_live("one") and await other.is_live("two")
        await bench.outlive(SHORT)
        await bench.store.release("two")
        assert not await other.is_live("one") and not await other.is_live("two")

    @check
    async def test_runs_of_a_live_owner_are_nobody_elses(self, bench: Bench) -> None:
        await bench.running()
        other = await bench.another()
        await other.renew("two", LONG)
        assert await other.claim_runs("two", 10, NOW + 1000) == []

    @check
    async def test_runs_of_a_dead_owner_are_taken_over(self, bench: Bench) -> None:
        run_id = await bench.enqueue()
        await bench.store.renew("one", SHORT)
        (before,) = await bench.store.claim_runs("one", 1, NOW + 100)
        await bench.outlive(SHORT)
        (after,) = await bench.claim("two")
        assert (after.run.id, after.run.owner, after.run.epoch) == (run_id, "two", 2)
        assert (after.run.status, after.run.started_at) == (RunStatus.RUNNING, before.run.started_at)

    @check
    async def test_a_dead_owners_runs_respect_queues_limit_and_priority(self, bench: Bench) -> None:
        ids = [await bench.enqueue(priority=n, queue="ab"[n % 2]) for n in range(6)]
        await bench.store.renew("one", SHORT)
        await bench.store.claim_runs("one", 4, NOW + 100)  # the four of highest priority
        await bench.outlive(SHORT)
        assert [loaded.run.id for loaded in await bench.claim("two", queues=["b"], limit=2)] == [ids[5], ids[3]]
        assert [loaded.run.id for loaded in await bench.claim("two")] == [ids[4], ids[2], ids[1], ids[0]]

    @check
    async def test_whoever_takes_over_gets_everything_it_needs(self, bench: Bench) -> None:
        run_id = await bench.running()
        started = [execution(run_id, 10), execution(run_id, 2, 2), execution(run_id, 2), execution(run_id, ordinal=1)]
        node = NodeRow(name="node-0", status=NodeStatus.RUNNING, items=[1, {"a": 2}])
        await bench.commit(run_id, nodes=(node,), started=tuple(started))
        await bench.store.release("one")
        (loaded,) = await bench.claim("two")
        assert loaded.nodes == (node,)
        assert [(e.node, e.index, e.attempt) for e in loaded.executions] == [
            ("node-0", 2, 1),
            ("node-0", 2, 2),
            ("node-0", 10, 1),
            ("node-1", 0, 1),
        ]
        assert set(map(str, loaded.executions)) == set(map(str, started))

    @check
    async def test_an_owner_that_comes_back_late_keeps_what_nobody_took(self, bench: Bench) -> None:
        await bench.enqueue()
        await bench.store.renew("one", SHORT)
        (loaded,) = await bench.store.claim_runs("one", 1, NOW + 100)
        await bench.outlive(SHORT)
        await bench.store.renew("one", LONG)
        assert await bench.claim("two") == []
        assert await bench.commit(loaded.run.id, loaded.run.epoch, run=RunPatch(status=RunStatus.SUCCEEDED))

    @check
    async def test_the_former_owner_is_refused_everything(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, started=(execution(run_id),))
        await bench.store.release("one")
        await bench.claim("two")
        before = await bench.run(run_id)
        refused = {
            "run": RunPatch(status=RunStatus.SUCCEEDED, output=1),
            "nodes": (NodeRow(name="n", status=NodeStatus.FAILED),),
            "started": (execution(run_id, 1),),
            "logs": ((execution(run_id).id, text_chunk(1, 1, "late")),),
        }
        assert not await bench.commit(run_id, 1, **refused)
        assert await bench.run(run_id) == before
        assert await bench.store.list_nodes(run_id) == []
        assert await bench.all_executions(run_id) == [execution(run_id)]
        assert await bench.store.read_log(execution(run_id).id) == []

    @check
    async def test_released_runs_are_free_at_once(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.store.release("one")
        assert (await bench.run(run_id)).owner is None
        (loaded,) = await bench.claim("two")
        assert (loaded.run.id, loaded.run.owner, loaded.run.epoch) == (run_id, "two", 2)

    @check
    async def test_who_asks_for_abandoned_runs_gets_those_and_none_that_is_new(self, bench: Bench) -> None:
        released, outlived, new = await bench.running(), await bench.enqueue(), await bench.enqueue(queue="q")
        await bench.store.release("one")
        await bench.store.renew("two", SHORT)
        await bench.store.claim_runs("two", 1, NOW + 100, only=[outlived])
        await bench.running()
        assert [each.run.id for each in await bench.claim("three", abandoned=True)] == [released]
        await bench.outlive(SHORT)
        assert await bench.claim("three", abandoned=True, only=[new]) == []
        assert await bench.claim("three", abandoned=True, queues=["q"]) == []
        assert [each.run.id for each in await bench.claim("three", abandoned=True)] == [outlived]
        assert [each.run.id for each in await bench.claim("three")] == [new]

    @check
    async def test_only_the_owners_own_runs_are_released(self, bench: Bench) -> None:
        await bench.running()
        await bench.store.release("two")
        assert await bench.claim("three") == []

    @check
    async def test_whoever_has_released_needs_a_new_lease(self, bench: Bench) -> None:
        await bench.running()
        await bench.store.release("one")
        assert await bench.store.claim_runs("one", 10, NOW + 1000) == []
        (again,) = await bench.claim("one")
        assert again.run.epoch == 2

    @check
    async def test_releasing_nothing_is_no_error(self, bench: Bench) -> None:
        await bench.store.release("nobody")

    @check
    async def test_the_epoch_only_grows(self, bench: Bench) -> None:
        await bench.enqueue()
        epochs = []
        for owner in ("one", "two", "one", "three"):
            epochs += [loaded.run.epoch for loaded in await bench.claim(owner)]
            await bench.store.release(owner)
        assert epochs == [1, 2, 3, 4]


class Starting:
    """P2: of all who want to start an execution one does, and can be told so again."""

    @check
    async def test_the_first_to_claim_a_start_has_it_and_may_ask_again(self, bench: Bench) -> None:
        id_ = await _startable(bench)
        answers = [await bench.store.start_claim(id_, "hash", who) for who in ("pod-1", "pod-2", "pod-1", "pod-2")]
        assert answers == [StartAnswer.GRANTED, StartAnswer.TAKEN, StartAnswer.GRANTED, StartAnswer.TAKEN]
        (stored,) = await bench.all_executions(id_.rsplit("-", 3)[0])
        assert stored.started_by == "pod-1"

    @check
    async def test_of_many_that_claim_a_start_at_once_one_has_it(self, bench: Bench) -> None:
        id_, other = await _startable(bench), await bench.another()
        handles = [bench.store, other] * 5
        answers = await asyncio.gather(
            *(handle.start_claim(id_, "hash", f"pod-{number}") for number, handle in enumerate(handles))
        )
        assert sorted(answers) == [StartAnswer.GRANTED, *[StartAnswer.TAKEN] * 9]

    @check
    async def test_a_claim_needs_one_of_the_executions_own_secrets(self, bench: Bench) -> None:
        id_ = await _startable(bench, "first owner's", "second owner's")
        another = await _startable(bench, "another's")
        for hash_ in ("another's", "", "first", "first owner'"):
            assert await bench.store.start_claim(id_, hash_, "pod") is StartAnswer.UNKNOWN
        for unknown in ("nobody-0-0-1", "no id", "", id_[:-1] + "2"):
            assert await bench.store.start_claim(unknown, "another's", "pod") is StartAnswer.UNKNOWN
        assert await bench.store.start_claim(id_, "second owner's", "pod") is StartAnswer.GRANTED
        assert await bench.store.start_claim(another, "another's", "pod") is StartAnswer.GRANTED

    @check
    async def test_an_execution_without_secrets_is_started_by_nobody_who_asks(self, bench: Bench) -> None:
        assert await bench.store.start_claim(await _startable(bench), "hash", "pod") is StartAnswer.GRANTED
        run_id = await bench.running()
        await bench.commit(run_id, started=(execution(run_id),))
        assert await bench.store.start_claim(execution(run_id).id, "", "pod") is StartAnswer.UNKNOWN

    @check
    async def test_what_is_final_or_to_be_stopped_is_started_by_nobody(self, bench: Bench) -> None:
        for status in ExecutionStatus:
            id_ = await _startable(bench)
            run_id = id_.rsplit("-", 3)[0]
            await bench.commit(run_id, updated=(patch(execution(run_id), status=status),))
            may = status in (ExecutionStatus.STARTING, ExecutionStatus.RUNNING)
            expected = StartAnswer.GRANTED if may else StartAnswer.OVER
            assert await bench.store.start_claim(id_, "hash", "pod") is expected, status

    @check
    async def test_an_execution_of_a_run_that_is_over_is_started_by_nobody(self, bench: Bench) -> None:
        id_ = await _startable(bench)
        await bench.commit(id_.rsplit("-", 3)[0], run=RunPatch(status=RunStatus.FAILED, finished_at=NOW))
        assert await bench.store.start_claim(id_, "hash", "pod") is StartAnswer.OVER

    @check
    async def test_a_start_stays_claimed_whatever_is_said_of_the_execution_and_whoever_owns_the_run(self, bench: Bench) -> None:
        id_ = await _startable(bench)
        run_id = id_.rsplit("-", 3)[0]
        assert await bench.store.start_claim(id_, "hash", "pod-1") is StartAnswer.GRANTED
        await bench.store.release("one")
        (loaded,) = await bench.claim("two", only=[run_id])
        assert loaded.executions[0].started_by == "pod-1"
        running = patch(execution(run_id), status=ExecutionStatus.RUNNING, token_hashes=("hash", "of two"))
        assert await bench.commit(run_id, 2, started=(execution(run_id),), updated=(running,))
        assert await bench.store.start_claim(id_, "of two", "pod-2") is StartAnswer.TAKEN
        assert await bench.store.start_claim(id_, "hash", "pod-1") is StartAnswer.GRANTED


async def _startable(bench: Bench, *hashes: str) -> str:
    """An execution that is starting; its id."""
    run_id = await bench.running()
    await bench.commit(run_id, started=(execution(run_id, token_hashes=hashes or ("hash",)),))
    return execution(run_id).id

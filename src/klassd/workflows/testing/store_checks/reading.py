"""Lists, pages, searches: complete, without repeats, stable while others write (C8, C14)."""

from __future__ import annotations

from functools import partial

from klassd.workflows.model.page import ExecutionQuery, RunQuery
from klassd.workflows.model.run import NodeRow, RunPatch
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.testing.store_checks.bench import NOW, Bench, check, execution, text_chunk


class Listing:
    @check
    async def test_runs_are_listed_newest_first_page_by_page(self, bench: Bench) -> None:
        ids = [await bench.enqueue() for _ in range(7)]
        for limit in (1, 2, 3, 7, 8):
            assert [run.id for run in await bench.all_runs(limit=limit)] == ids[::-1]

    @check
    async def test_the_last_page_says_so(self, bench: Bench) -> None:
        assert (await bench.store.list_runs(RunQuery())).next is None
        for _ in range(4):
            await bench.enqueue()
        assert (await bench.store.list_runs(RunQuery(limit=4))).next is None
        assert (await bench.store.list_runs(RunQuery(limit=3))).next is not None

    @check
    async def test_a_list_shows_runs_as_they_are(self, bench: Bench) -> None:
        run_id = await bench.running(params={"a": 1}, tags=("t",))
        assert await bench.all_runs() == [await bench.run(run_id)]

    @check
    async def test_pages_are_stable_while_runs_are_added_and_removed(self, bench: Bench) -> None:
        ids = [await bench.finished(at=NOW + n) for n in range(6)]
        first = await bench.store.list_runs(RunQuery(limit=2))
        await bench.enqueue()
        await bench.prune(NOW + 2)  # the two oldest
        second = await bench.store.list_runs(RunQuery(limit=2, after=first.next))
        assert [run.id for run in (*first.items, *second.items)] == [ids[5], ids[4], ids[3], ids[2]]
        assert second.next is None

    @check
    async def test_a_page_continues_after_a_run_that_is_gone(self, bench: Bench) -> None:
        ids = [await bench.finished(at=NOW + (n == 2)) for n in range(4)]
        page = await bench.store.list_runs(RunQuery(limit=1))
        await bench.prune(NOW + 0.5)
        page = await bench.store.list_runs(RunQuery(limit=9, after=page.next))
        assert [run.id for run in page.items] == [ids[2]]

    @check
    async def test_each_filter_leaves_out_what_does_not_fit(self, bench: Bench) -> None:
        ids = [
            await bench.enqueue(name="a", tenant="x", tags=("red", "blue")),
            await bench.enqueue(name="b", tenant="x", tags=("red",)),
            await bench.enqueue(name="a", tags=("blue",)),
            await bench.running(name="b"),
            await bench.finished(name="a", tenant="y"),
        ]

        async def found(**query: object) -> list[int]:
            return sorted(ids.index(run.id) for run in await bench.all_runs(**query))

        assert await found(name="a") == [0, 2, 4]
        assert await found(tenant="x") == [0, 1]
        assert await found(tenant="") == [2, 3]
        assert await found(tag="blue") == [0, 2]
        assert await found(tag="red", name="a") == [0]
        assert await found(tag="red", tenant="y") == []
        assert await found(statuses=(RunStatus.RUNNING,)) == [3]
        assert await found(statuses=(RunStatus.QUEUED, RunStatus.SUCCEEDED)) == [0, 1, 2, 4]
        assert await found(statuses=(RunStatus.QUEUED,), name="a", tenant="x") == [0]
        assert await found(statuses=(RunStatus.SUCCEEDED,), tag="red") == []
        assert await found(statuses=(RunStatus.FAILED,)) == []
        assert await found(name="nothing") == []

    @check
    async def test_filtered_pages_are_complete_and_in_order(self, bench: Bench) -> None:
        ids = [await bench.enqueue(name="abc"[n % 3], tenant="x" * (n % 2), tags=("t",) * (n % 4 == 0)) for n in range(24)]
        for limit in (1, 3, 30):
            runs = await bench.all_runs(statuses=(RunStatus.QUEUED,), limit=limit)
            assert [run.id for run in runs] == ids[::-1]
            assert [run.id for run in await bench.all_runs(name="b", limit=limit)] == ids[1::3][::-1]
            assert [run.id for run in await bench.all_runs(tenant="x", limit=limit)] == ids[1::2][::-1]
            assert [run.id for run in await bench.all_runs(tag="t", limit=limit)] == ids[::4][::-1]

    @check
    async def test_a_run_is_found_by_the_beginning_or_end_of_its_id(self, bench: Bench) -> None:
        ids = [
            await bench.enqueue(id=f"{head}0000000000000000{tail}") for head, tail in (("aa", "xy"), ("aa", "xz"), ("ab", "xy"))
        ]
        assert await bench.store.find_runs(ids[0]) == [ids[0]]
        assert await bench.store.find_runs("aa") == [ids[1], ids[0]]
        assert await bench.store.find_runs("xy") == [ids[2], ids[0]]
        assert await bench.store.find_runs("a") == ids[::-1]
        assert await bench.store.find_runs("a", limit=2) == [ids[2], ids[1]]
        assert await bench.store.find_runs("%") == []
        assert await bench.store.find_runs("_") == []
        assert await bench.store.find_runs("nothing") == []


class ListingExecutions:
    @check
    async def test_executions_are_listed_by_node_item_and_attempt(self, bench: Bench) -> None:
        run_id, other = await bench.running(), await bench.running()
        keys = [(1, 0, 1), (0, 10, 1), (0, 2, 2), (0, 2, 1), (10, 0, 1), (2, 0, 1)]
        await bench.commit(run_id, started=tuple(execution(run_id, item, attempt, node) for node, item, attempt in keys))
        await bench.commit(other, started=(execution(other),))
        expected = [execution(run_id, item, attempt, node).id for node, item, attempt in sorted(keys)]
        for limit in (1, 2, 4, 6, 7):
            assert [e.id for e in await bench.all_executions(run_id, limit=limit)] == expected
        assert (await bench.store.list_executions(ExecutionQuery(run_id=run_id, limit=6))).next is None
        assert await bench.all_executions("nobody") == []

    @check
    async def test_executions_of_one_node_are_listed(self, bench: Bench) -> None:
        run_id = await bench.running()
        started = [execution(run_id, item, 1, node, node="abc"[node]) for node in range(3) for item in range(5)]
        await bench.commit(run_id, started=tuple(started))
        for limit in (1, 5, 9):
            found = await bench.all_executions(run_id, node="b", limit=limit)
            assert [(e.node, e.index) for e in found] == [("b", n) for n in range(5)]
        assert await bench.all_executions(run_id, node="nothing") == []

    @check
    async def test_executions_are_filtered_by_status(self, bench: Bench) -> None:
        run_id = await bench.running()
        statuses = [ExecutionStatus.FAILED, ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED]
        await bench.commit(run_id, started=tuple(execution(run_id, n, status=status) for n, status in enumerate(statuses)))
        failed = await bench.all_executions(run_id, statuses=(ExecutionStatus.FAILED,), limit=1)
        assert [e.index for e in failed] == [0, 3]
        both = await bench.all_executions(run_id, node="node-0", statuses=(ExecutionStatus.FAILED, ExecutionStatus.RUNNING))
        assert [e.index for e in both] == [0, 1, 3]

    @check
    async def test_pages_are_stable_while_executions_are_added(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, started=tuple(execution(run_id, n) for n in (0, 2, 4, 6)))
        page = await bench.store.list_executions(ExecutionQuery(run_id=run_id, limit=2))
        await bench.commit(run_id, started=tuple(execution(run_id, n) for n in (1, 5)))
        page = await bench.store.list_executions(ExecutionQuery(run_id=run_id, after=page.next))
        assert [e.index for e in page.items] == [4, 5, 6]


class Pruning:
    @check
    async def test_everything_that_hangs_on_a_run_goes_with_it(self, bench: Bench) -> None:
        run_id = await bench.running(idempotency_key="k", tags=("t",), tenant="x", definition="d9")
        first = execution(run_id)
        await bench.commit(
            run_id,
            nodes=(NodeRow(name="n", status=NodeStatus.SUCCEEDED),),
            started=(first,),
            logs=((first.id, text_chunk(1, 1, "line")),),
        )
        await bench.store.request_cancel(run_id, NOW)
        await _end(bench, run_id)
        assert await bench.prune(NOW + 1) == [run_id]
        assert await bench.store.get_run(run_id) is None
        assert await bench.store.get_execution(first.id) is None
        assert await bench.store.list_nodes(run_id) == []
        assert await bench.all_executions(run_id) == []
        assert await bench.store.read_log(first.id) == []
        assert await bench.store.log_cursor(first.id) == ("", 0, 1)
        assert await bench.store.find_runs(run_id) == []
        assert await bench.all_runs(tag="t") == await bench.all_runs(tenant="x") == await bench.all_runs(name="report") == []
        assert (await bench.store.counts()).by_name == {}
        assert await bench.store.get_definition("d9") is None
        assert await bench.enqueue(idempotency_key="k", tenant="x") != run_id

    @check
    async def test_a_definition_stays_as_long_as_a_run_carries_it(self, bench: Bench) -> None:
        await bench.finished(at=NOW)
        await bench.finished(at=NOW + 5)
        await bench.prune(NOW + 1)
        assert await bench.store.get_definition("d1") is not None
        await bench.prune(NOW + 6)
        assert await bench.store.get_definition("d1") is None
        await bench.enqueue()
        assert await bench.store.get_definition("d1") is not None
        assert len(await bench.claim()) == 1

    @check
    async def test_only_final_runs_that_finished_before_are_found(self, bench: Bench) -> None:
        for make in (bench.enqueue, bench.running, partial(bench.finished, at=NOW + 10)):
            await make()
            assert await bench.store.finished(NOW + 10, 10) == []
        old = await bench.finished(RunStatus.FAILED, at=NOW + 9.99)
        assert await bench.store.finished(NOW + 10, 10) == [await bench.run(old)]

    @check
    async def test_the_oldest_are_found_first_and_no_more_than_the_limit(self, bench: Bench) -> None:
        ids = [await bench.finished(at=NOW + at) for at in (3, 1, 2)]
        assert [run.id for run in await bench.store.finished(NOW + 10, 2)] == [ids[1], ids[2]]
        assert [run.id for run in await bench.store.finished(NOW + 10, 3)] == [ids[1], ids[2], ids[0]]

    @check
    async def test_a_run_is_kept_as_long_as_another_refers_to_it(self, bench: Bench) -> None:
        old, alone = await bench.finished(at=NOW), await bench.finished(at=NOW + 1)
        younger = await bench.running(refers_to=(old, "of-nobody", old))
        assert (await bench.run(younger)).refers_to == (old, "of-nobody", old)
        assert await bench.prune(NOW + 10) == [alone]
        assert await bench.commit(younger, run=RunPatch(status=RunStatus.FAILED, finished_at=NOW + 2))
        assert await bench.prune(NOW + 10) == [younger]
        assert await bench.prune(NOW + 10) == [old]

    @check
    async def test_a_run_that_is_not_final_is_not_pruned_and_keeps_nobody_else(self, bench: Bench) -> None:
        kept = [await bench.enqueue(), await bench.running()]
        gone = [await bench.finished(at=NOW + n) for n in range(2)]
        asked = [gone[1], *kept, "of-nobody", gone[0], gone[1]]
        assert await bench.store.prune(asked) == [gone[1], gone[0]]
        assert {run.id for run in await bench.all_runs()} == set(kept)
        assert await bench.store.prune(asked) == await bench.store.prune([]) == []
        assert (await bench.store.counts()).by_name == await bench.recount()

    @check
    async def test_a_run_cancelled_while_queued_is_pruned_too(self, bench: Bench) -> None:
        run_id = await bench.enqueue()
        await bench.store.request_cancel(run_id, NOW)
        assert await bench.prune(NOW + 1) == [run_id]


async def _end(bench: Bench, run_id: str) -> None:
    assert await bench.commit(run_id, run=RunPatch(status=RunStatus.CANCELLED, finished_at=NOW))

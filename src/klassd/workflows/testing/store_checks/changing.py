"""P2, P4, P6: a decision is committed whole, in order, under its epoch; what is final stays as it is."""

from __future__ import annotations

import asyncio
from typing import Any

from klassd.workflows.errors import Unstorable
from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import Change, NodeRow, RunPatch
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.testing.store_checks.bench import NOW, Bench, check, execution, patch, refusal, text_chunk

FALSY: tuple[Any, ...] = (0, 0.0, False, "", [], {}, [None], None)


class Changing:
    @check
    async def test_a_run_ends_with_its_status_time_and_output(self, bench: Bench) -> None:
        run_id = await bench.running()
        before = await bench.run(run_id)
        assert await bench.commit(
            run_id, run=RunPatch(status=RunStatus.FAILED, finished_at=NOW + 9, output={"a": [1]}, error="it broke")
        )
        run = await bench.run(run_id)
        assert (run.status, run.finished_at, run.output, run.error) == (RunStatus.FAILED, NOW + 9, {"a": [1]}, "it broke")
        assert (run.owner, run.epoch, run.started_at) == (before.owner, before.epoch, before.started_at)

    @check
    async def test_what_a_run_patch_does_not_say_stays(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, run=RunPatch(output=[1], error="first"))
        await bench.commit(run_id, run=RunPatch(status=RunStatus.CANCELLING))
        run = await bench.run(run_id)
        assert (run.status, run.output, run.error, run.finished_at) == (RunStatus.CANCELLING, [1], "first", None)

    @check
    async def test_outputs_that_count_as_false_are_told_apart(self, bench: Bench) -> None:
        for output in FALSY:
            run_id = await bench.running()
            first = execution(run_id, output=output)
            later = execution(run_id, 1)
            ended = patch(later, output=output, status=ExecutionStatus.SUCCEEDED)
            await bench.commit(run_id, started=(first, later), updated=(ended,), run=RunPatch(output=output))
            stored = [await bench.store.get_execution(first.id), await bench.store.get_execution(later.id)]
            assert [repr(each and each.output) for each in [*stored, await bench.run(run_id)]] == [repr(output)] * 3

    @check
    async def test_another_epoch_is_refused(self, bench: Bench) -> None:
        run_id = await bench.running()
        assert not await bench.commit(run_id, 0, run=RunPatch(error="no"))
        assert not await bench.commit(run_id, 2, run=RunPatch(error="no"))
        assert (await bench.run(run_id)).error is None

    @check
    async def test_a_change_of_an_unknown_run_is_refused(self, bench: Bench) -> None:
        assert not await bench.commit("nobody", 0, run=RunPatch(error="no"))

    @check
    async def test_a_final_run_never_changes(self, bench: Bench) -> None:
        for status in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED):
            run_id = await bench.finished(status)
            before = await bench.run(run_id)
            for change in ({"run": RunPatch(status=RunStatus.RUNNING)}, {"started": (execution(run_id),)}, {}):
                assert not await bench.commit(run_id, **change)
            assert await bench.run(run_id) == before
            assert await bench.all_executions(run_id) == []

    @check
    async def test_changes_of_a_group_are_applied_in_order(self, bench: Bench) -> None:
        run_id = await bench.running()
        changes = [
            Change(run_id=run_id, epoch=1, started=(execution(run_id),)),
            Change(run_id=run_id, epoch=1, updated=(patch(execution(run_id), status=ExecutionStatus.SUCCEEDED),)),
            Change(run_id=run_id, epoch=1, run=RunPatch(status=RunStatus.SUCCEEDED)),
            Change(run_id=run_id, epoch=1, run=RunPatch(error="too late")),
        ]
        assert await bench.store.commit(changes) == [True, True, True, False]
        assert (await bench.run(run_id)).error is None
        (stored,) = await bench.all_executions(run_id)
        assert stored.status is ExecutionStatus.SUCCEEDED

    @check
    async def test_a_refused_change_does_not_disturb_the_others_of_its_group(self, bench: Bench) -> None:
        ids = [await bench.running() for _ in range(3)]
        epochs = (1, 7, 1)
        changes = [Change(run_id=i, epoch=e, run=RunPatch(error="x")) for i, e in zip(ids, epochs, strict=True)]
        assert await bench.store.commit(changes) == [True, False, True]
        assert [(await bench.run(run_id)).error for run_id in ids] == ["x", None, "x"]

    @check
    async def test_an_empty_group_is_no_error(self, bench: Bench) -> None:
        assert await bench.store.commit([]) == []

    @check
    async def test_a_repeated_commit_after_a_lost_answer_changes_nothing_more(self, bench: Bench) -> None:
        run_id = await bench.running()
        change = Change(
            run_id=run_id,
            epoch=1,
            nodes=(NodeRow(name="node-0", status=NodeStatus.RUNNING, items=[1]),),
            started=(execution(run_id), execution(run_id, 1)),
            updated=(patch(execution(run_id), status=ExecutionStatus.RUNNING, started_at=NOW),),
            logs=((execution(run_id).id, text_chunk(1, 1, "once")),),
        )
        assert await bench.store.commit([change]) == [True]
        before = await bench.store.list_nodes(run_id), await bench.all_executions(run_id)
        assert await bench.store.commit([change]) == [True]
        assert (await bench.store.list_nodes(run_id), await bench.all_executions(run_id)) == before
        assert [line.text for line in await bench.store.read_log(execution(run_id).id)] == ["once"]

    @check
    async def test_a_repeated_last_commit_is_refused_and_stands(self, bench: Bench) -> None:
        run_id = await bench.running()
        end = RunPatch(status=RunStatus.SUCCEEDED, finished_at=NOW)
        assert await bench.commit(run_id, run=end)
        assert not await bench.commit(run_id, run=end)
        assert (await bench.store.counts()).by_name == {"report": {RunStatus.SUCCEEDED: 1}}

    @check
    async def test_many_commits_at_once_are_all_kept(self, bench: Bench) -> None:
        run_id = await bench.running()
        other = await bench.another()
        changes = [Change(run_id=run_id, epoch=1, started=(execution(run_id, n),)) for n in range(60)]
        await asyncio.gather(*((bench.store, other)[n % 2].commit([change]) for n, change in enumerate(changes)))
        assert [e.index for e in await bench.all_executions(run_id, limit=50)] == list(range(60))


class Executions:
    @check
    async def test_an_execution_is_read_back_as_it_was(self, bench: Bench) -> None:
        run_id = await bench.running()
        full = execution(
            run_id, 3, 2, 1, job="report", status=ExecutionStatus.FAILED, not_before=NOW, launched_at=NOW + 1,
            started_at=NOW + 2, finished_at=NOW + 3, place="here", cause=Cause.OOM, error="e\0", detail="trace\nback",
            exit_code=-9, output={"a": 1},
            outputs={"rows": [1]}, warnings=("w",), progress={"": {"at": 1.5, "of": 3, "text": "t"}}, log_lines=12,
            waiting="for a node", located={"pod": "report-1", "pid": 7},
            phases=Phases(scheduled=NOW + 1.25, first_line=NOW + 2.5),
        )  # fmt: skip
        plain = execution(run_id)
        await bench.commit(run_id, started=(full, plain))
        assert await bench.store.get_execution(full.id) == full
        assert await bench.store.get_execution(plain.id) == plain

    @check
    async def test_what_is_no_execution_is_none(self, bench: Bench) -> None:
        run_id = await bench.running()
        for id_ in ("", "nobody", run_id, f"{run_id}-0-0-1", f"{run_id}-x-0-1", f"{run_id}-0-0-01", f"{run_id}-0-0-{10**30}"):
            assert await bench.store.get_execution(id_) is None
            assert await bench.store.read_log(id_) == []
            assert await bench.store.log_cursor(id_) == ("", 0, 1)

    @check
    async def test_an_execution_that_exists_is_not_started_again(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, started=(execution(run_id, status=ExecutionStatus.RUNNING),))
        await bench.commit(run_id, started=(execution(run_id, status=ExecutionStatus.QUEUED),))
        assert [e.status for e in await bench.all_executions(run_id)] == [ExecutionStatus.RUNNING]

    @check
    async def test_a_patch_changes_what_it_says_and_nothing_else(self, bench: Bench) -> None:
        run_id = await bench.running()
        first = execution(run_id, place="here", error="old", progress={"": {"at": 1}})
        await bench.commit(run_id, started=(first,))
        await bench.commit(run_id, updated=(patch(first, status=ExecutionStatus.RUNNING, error=None, log_lines=3),))
        stored = await bench.store.get_execution(first.id)
        assert stored == execution(
            run_id, place="here", error=None, progress={"": {"at": 1}}, status=ExecutionStatus.RUNNING, log_lines=3
        )

    @check
    async def test_a_patch_says_where_an_execution_is_and_when_it_came_how_far(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, started=(execution(run_id),))
        for phases in (Phases(scheduled=NOW), Phases(scheduled=NOW, pulled=NOW + 1, returned=NOW + 2.000001)):
            located: dict[str, str | int] = {"pod": "p", "node": "n", "pid": 1}
            await bench.commit(run_id, updated=(patch(execution(run_id), located=located, phases=phases),))
            assert await bench.store.get_execution(execution(run_id).id) == execution(run_id, located=located, phases=phases)

    @check
    async def test_a_patch_that_says_nothing_changes_nothing(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, started=(execution(run_id),))
        assert await bench.commit(run_id, updated=(patch(execution(run_id)),))
        assert await bench.store.get_execution(execution(run_id).id) == execution(run_id)

    @check
    async def test_an_execution_starts_and_ends_in_one_change(self, bench: Bench) -> None:
        run_id = await bench.running()
        first, second = execution(run_id), execution(run_id, attempt=2)
        end = patch(first, status=ExecutionStatus.FAILED, cause=Cause.EXIT, exit_code=3)
        await bench.commit(run_id, started=(first, second), updated=(end,))
        stored = await bench.all_executions(run_id)
        assert [(e.attempt, e.status, e.exit_code) for e in stored] == [
            (1, ExecutionStatus.FAILED, 3),
            (2, ExecutionStatus.STARTING, None),
        ]

    @check
    async def test_a_final_execution_never_changes(self, bench: Bench) -> None:
        run_id = await bench.running()
        for index, status in enumerate((ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.STOPPED)):
            final = execution(run_id, index, status=status, output=1)
            late = patch(final, status=ExecutionStatus.RUNNING, output=2, error="late")
            await bench.commit(run_id, started=(final,))
            assert await bench.commit(run_id, updated=(late,))
            assert await bench.store.get_execution(final.id) == final

    @check
    async def test_a_patch_of_an_unknown_execution_makes_none(self, bench: Bench) -> None:
        run_id = await bench.running()
        assert await bench.commit(run_id, updated=(patch(execution(run_id), status=ExecutionStatus.RUNNING),))
        assert await bench.all_executions(run_id) == []

    @check
    async def test_an_execution_of_another_run_is_refused(self, bench: Bench) -> None:
        run_id, other = await bench.running(), await bench.running()
        await refusal(Unstorable, bench.commit(run_id, started=(execution(other),)))
        await refusal(Unstorable, bench.commit(run_id, updated=(patch(execution(other), error="x"),)))
        await refusal(Unstorable, bench.commit(run_id, logs=((execution(other).id, text_chunk(1, 1, "x")),)))
        assert await bench.all_executions(other) == []

    @check
    async def test_what_cannot_be_stored_is_refused_and_leaves_nothing(self, bench: Bench) -> None:
        run_id = await bench.running()
        good = Change(run_id=run_id, epoch=1, started=(execution(run_id),))
        bad = Change(run_id=run_id, epoch=1, started=(execution(run_id, 1, error="\ud800"),))
        await refusal(Unstorable, bench.store.commit([good, bad]))
        assert await bench.all_executions(run_id) == []
        assert await bench.store.commit([good]) == [True]

    @check
    async def test_changing_what_was_given_or_read_changes_no_execution(self, bench: Bench) -> None:
        run_id = await bench.running()
        output, items = {"list": [1]}, [[1]]
        await bench.commit(
            run_id,
            started=(execution(run_id, output=output),),
            nodes=(NodeRow(name="node-0", status=NodeStatus.RUNNING, items=items),),
        )
        output["list"].append(2)
        items[0].append(2)
        (read,) = await bench.all_executions(run_id)
        (node,) = await bench.store.list_nodes(run_id)
        read.output["list"].append(3)
        assert node.items == [[1]]
        node.items.append(3)
        assert (await bench.all_executions(run_id))[0].output == {"list": [1]}
        assert (await bench.store.list_nodes(run_id))[0].items == [[1]]


class Nodes:
    @check
    async def test_nodes_are_listed_with_their_state(self, bench: Bench) -> None:
        run_id = await bench.running()
        rows = [
            NodeRow(name="a", status=NodeStatus.SKIPPED, error="x failed", finished_at=NOW),
            NodeRow(name="b", status=NodeStatus.RUNNING, items=[{"k": [1]}, "two"]),
            NodeRow(name="c", status=NodeStatus.OMITTED, items=[]),
        ]
        await bench.commit(run_id, nodes=tuple(rows))
        assert sorted(await bench.store.list_nodes(run_id), key=lambda row: row.name) == rows
        assert await bench.store.list_nodes("nobody") == []

    @check
    async def test_the_items_of_a_fan_out_stay_when_its_end_is_stored(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, nodes=(NodeRow(name="a", status=NodeStatus.RUNNING, items=[1, 2]),))
        await bench.commit(run_id, nodes=(NodeRow(name="a", status=NodeStatus.SUCCEEDED, finished_at=NOW),))
        assert await bench.store.list_nodes(run_id) == [
            NodeRow(name="a", status=NodeStatus.SUCCEEDED, items=[1, 2], finished_at=NOW)
        ]

    @check
    async def test_the_address_of_a_service_stays_when_its_end_is_stored(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.commit(run_id, nodes=(NodeRow(name="db", status=NodeStatus.READY, address="127.0.0.1:5432"),))
        (ready,) = await bench.store.list_nodes(run_id)
        assert (ready.status, ready.address) == (NodeStatus.READY, "127.0.0.1:5432")
        await bench.commit(run_id, nodes=(NodeRow(name="db", status=NodeStatus.SUCCEEDED, finished_at=NOW),))
        assert await bench.store.list_nodes(run_id) == [
            NodeRow(name="db", status=NodeStatus.SUCCEEDED, address="127.0.0.1:5432", finished_at=NOW)
        ]

    @check
    async def test_a_new_owner_is_told_of_the_services_that_are_ready(self, bench: Bench) -> None:
        run_id = await bench.running()
        row = NodeRow(name="node-0", status=NodeStatus.READY, address="[::1]:80")
        ready = execution(run_id, status=ExecutionStatus.READY)
        await bench.commit(run_id, started=(ready,), nodes=(row,))
        await bench.store.release("one")
        (loaded,) = await bench.claim("two")
        assert (loaded.nodes, [each.status for each in loaded.executions]) == ((row,), [ExecutionStatus.READY])


class Counting:
    @check
    async def test_counts_follow_a_run_through_its_life(self, bench: Bench) -> None:
        async def counts() -> dict[str, dict[RunStatus, int]]:
            return (await bench.store.counts()).by_name

        assert await counts() == {}
        first = await bench.enqueue(name="a")
        await bench.enqueue(name="b")
        assert await counts() == {"a": {RunStatus.QUEUED: 1}, "b": {RunStatus.QUEUED: 1}}
        await bench.claim(only=[first])
        assert await counts() == {"a": {RunStatus.RUNNING: 1}, "b": {RunStatus.QUEUED: 1}}
        await bench.commit(first, run=RunPatch(status=RunStatus.SUCCEEDED, finished_at=NOW))
        assert await counts() == {"a": {RunStatus.SUCCEEDED: 1}, "b": {RunStatus.QUEUED: 1}}
        await bench.prune(NOW + 1)
        assert await counts() == {"b": {RunStatus.QUEUED: 1}}

    @check
    async def test_a_take_over_counts_nothing(self, bench: Bench) -> None:
        await bench.running()
        await bench.store.release("one")
        await bench.claim("two")
        assert (await bench.store.counts()).by_name == {"report": {RunStatus.RUNNING: 1}}

    @check
    async def test_counts_equal_a_recount_after_many_operations(self, bench: Bench) -> None:
        ends = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.CANCELLING)
        for round_ in range(12):
            for n in range(5):
                await bench.enqueue(name=f"job-{n}", idempotency_key=f"{round_ % 4}-{n}" if n % 2 else None)
            claimed = await bench.claim(f"owner-{round_ % 3}", limit=3)
            for n, loaded in enumerate(claimed):
                status = ends[(round_ + n) % 4]
                await bench.commit(loaded.run.id, loaded.run.epoch, run=RunPatch(status=status, finished_at=NOW + round_))
            for run in (await bench.all_runs(statuses=(RunStatus.QUEUED,)))[: round_ % 2]:
                await bench.store.request_cancel(run.id, NOW + round_)
            if round_ % 5 == 4:
                await bench.store.release(f"owner-{round_ % 3}")
                await bench.prune(NOW + round_ - 3, 4)
            assert (await bench.store.counts()).by_name == await bench.recount()

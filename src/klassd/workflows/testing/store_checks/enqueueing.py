"""P1: an accepted enqueue is never lost, and the same key gives the same run."""

from __future__ import annotations

import asyncio
from typing import Any

from klassd.workflows.errors import Unstorable
from klassd.workflows.model.run import RunPatch
from klassd.workflows.model.states import RunStatus
from klassd.workflows.testing.store_checks.bench import DEFINITION, NOW, Bench, check, refusal


class Enqueueing:
    @check
    async def test_a_run_is_read_back_as_it_was_enqueued(self, bench: Bench) -> None:
        new = bench.new(
            kind="workflow",
            params={"market": "dk", "deep": [{"a": [1, 2.5, None, True]}]},
            tenant="acme",
            tags=("b", "a"),
            queue="reports",
            priority=-3,
            idempotency_key="k",
            rerun_of="other",
        )
        assert await bench.store.enqueue([new]) == [new.run.id]
        assert await bench.store.get_run(new.run.id) == new.run

    @check
    async def test_ids_come_back_in_the_order_of_the_runs(self, bench: Bench) -> None:
        new = [bench.new() for _ in range(20)]
        new.reverse()
        assert await bench.store.enqueue(new) == [each.run.id for each in new]

    @check
    async def test_enqueueing_nothing_is_no_error(self, bench: Bench) -> None:
        assert await bench.store.enqueue([]) == []

    @check
    async def test_an_unknown_run_is_none(self, bench: Bench) -> None:
        assert await bench.store.get_run("nobody") is None

    @check
    async def test_the_same_key_gives_the_same_run(self, bench: Bench) -> None:
        first = await bench.enqueue(idempotency_key="k", params={"n": 1})
        assert await bench.enqueue(idempotency_key="k", params={"n": 2}) == first
        assert [run.params for run in await bench.all_runs()] == [{"n": 1}]

    @check
    async def test_a_key_is_known_in_its_tenant_only(self, bench: Bench) -> None:
        ids = {await bench.enqueue(idempotency_key="k", tenant=tenant) for tenant in ("", "acme", "other")}
        assert len(ids) == 3

    @check
    async def test_the_same_key_twice_in_one_call_is_one_run(self, bench: Bench) -> None:
        first, second, third = bench.new(idempotency_key="k"), bench.new(idempotency_key="k"), bench.new()
        assert await bench.store.enqueue([first, second, third]) == [first.run.id, first.run.id, third.run.id]
        assert len(await bench.all_runs()) == 2

    @check
    async def test_the_key_of_a_finished_run_still_gives_that_run(self, bench: Bench) -> None:
        done = await bench.finished(idempotency_key="k")
        assert await bench.enqueue(idempotency_key="k") == done
        assert (await bench.run(done)).status is RunStatus.SUCCEEDED

    @check
    async def test_runs_without_a_key_are_all_different(self, bench: Bench) -> None:
        assert len({await bench.enqueue() for _ in range(5)}) == 5

    @check
    async def test_two_that_enqueue_one_key_at_once_get_one_run(self, bench: Bench) -> None:
        handles = [bench.store, await bench.another()]
        new = [bench.new(idempotency_key="k") for _ in range(10)]
        results = await asyncio.gather(*(handles[n % 2].enqueue([each]) for n, each in enumerate(new)))
        assert len({run_id for (run_id,) in results}) == 1
        assert len(await bench.all_runs()) == 1

    @check
    async def test_a_repeated_enqueue_after_a_lost_answer_inserts_nothing(self, bench: Bench) -> None:
        new = [bench.new(), bench.new(idempotency_key="k")]
        assert await bench.store.enqueue(new) == await bench.store.enqueue(new)
        assert (await bench.store.counts()).by_name == {"report": {RunStatus.QUEUED: 2}}

    @check
    async def test_a_definition_is_read_back(self, bench: Bench) -> None:
        await bench.enqueue(definition="d1")
        assert await bench.store.get_definition("d1") == DEFINITION
        assert await bench.store.get_definition("d2") is None

    @check
    async def test_all_runs_of_a_call_are_inserted_or_none(self, bench: Bench) -> None:
        await refusal(Unstorable, bench.store.enqueue([bench.new(), bench.new(params={"x": "\ud800"}), bench.new()]))
        assert await bench.all_runs() == []
        assert (await bench.store.counts()).by_name == {}

    @check
    async def test_any_text_comes_back_unharmed(self, bench: Bench) -> None:
        text = "NUL \0 quote ' \" back \\ newline \n æøå 漢字 \U0001f600 \u202e \ufeff end"
        new = bench.new(name=text, params={text: text}, tags=(text,), tenant=text, queue=text, idempotency_key=text)
        await bench.store.enqueue([new])
        assert await bench.store.get_run(new.run.id) == new.run
        assert [run.id for run in await bench.all_runs(tag=text, name=text, tenant=text)] == [new.run.id]
        assert await bench.enqueue(tenant=text, idempotency_key=text) == new.run.id
        assert [loaded.run.id for loaded in await bench.claim(queues=[text])] == [new.run.id]

    @check
    async def test_a_lone_surrogate_is_refused_wherever_it_stands(self, bench: Bench) -> None:
        bad = "\udcff"
        fields: list[dict[str, Any]] = [{"name": bad}, {"params": {bad: 1}}, {"tags": (bad,)}, {"tenant": bad}]
        for each in [*fields, {"queue": bad}, {"idempotency_key": bad}]:
            error = await refusal(Unstorable, bench.store.enqueue([bench.new(**each)]))
            assert "surrogate" in str(error)
        assert await bench.enqueue()

    @check
    async def test_what_is_no_json_is_refused(self, bench: Bench) -> None:
        await refusal(Unstorable, bench.store.enqueue([bench.new(params={"x": object()})]))

    @check
    async def test_a_large_run_comes_back_whole(self, bench: Bench) -> None:
        params = {"text": "x" * 2_000_000, "list": list(range(10_000))}
        assert (await bench.run(await bench.enqueue(params=params))).params == params

    @check
    async def test_numbers_come_back_exactly(self, bench: Bench) -> None:
        params = {"big": 2**80, "negative": -(2**63), "small": 5e-324, "third": 1 / 3, "large": 1.7e308}
        assert (await bench.run(await bench.enqueue(params=params))).params == params

    @check
    async def test_a_number_beyond_64_bits_in_a_field_is_kept_or_refused(self, bench: Bench) -> None:
        try:
            run_id = await bench.enqueue(priority=2**70)
        except Unstorable:
            assert await bench.all_runs() == []
        else:
            assert (await bench.run(run_id)).priority == 2**70

    @check
    async def test_changing_what_was_given_changes_nothing_stored(self, bench: Bench) -> None:
        params: dict[str, Any] = {"list": [1]}
        run_id = await bench.enqueue(params=params)
        params["list"].append(2)
        assert (await bench.run(run_id)).params == {"list": [1]}

    @check
    async def test_changing_what_was_read_changes_nothing_stored(self, bench: Bench) -> None:
        run_id = await bench.enqueue(params={"list": [1]})
        (loaded,) = await bench.claim()
        for run in (await bench.run(run_id), (await bench.all_runs())[0], loaded.run):
            run.params["list"].append(2)
        assert (await bench.run(run_id)).params == {"list": [1]}

    @check
    async def test_changing_a_run_output_after_the_commit_changes_nothing_stored(self, bench: Bench) -> None:
        output = {"list": [1]}
        run_id = await bench.running()
        await bench.commit(run_id, run=RunPatch(output=output))
        output["list"].append(2)
        assert (await bench.run(run_id)).output == {"list": [1]}


class Cancelling:
    @check
    async def test_a_queued_run_is_cancelled_at_once(self, bench: Bench) -> None:
        run_id = await bench.enqueue()
        assert await bench.store.request_cancel(run_id, NOW + 7)
        run = await bench.run(run_id)
        assert (run.status, run.finished_at, run.cancel_requested_at) == (RunStatus.CANCELLED, NOW + 7, NOW + 7)
        assert await bench.claim() == []

    @check
    async def test_a_delayed_run_is_cancelled_at_once(self, bench: Bench) -> None:
        run_id = await bench.enqueue(not_before=NOW + 5000)
        assert await bench.store.request_cancel(run_id, NOW + 7)
        assert await bench.store.next_due(NOW) is None
        assert await bench.claim() == []

    @check
    async def test_the_owner_of_a_running_run_is_asked(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.running()
        assert await bench.store.cancel_requests("one") == []
        assert await bench.store.request_cancel(run_id, NOW + 7)
        assert await bench.store.cancel_requests("one") == [run_id]
        assert await bench.store.cancel_requests("two") == []
        run = await bench.run(run_id)
        assert (run.status, run.finished_at, run.cancel_requested_at) == (RunStatus.RUNNING, None, NOW + 7)

    @check
    async def test_a_second_request_keeps_the_time_of_the_first(self, bench: Bench) -> None:
        run_id = await bench.running()
        assert await bench.store.request_cancel(run_id, NOW + 7)
        assert await bench.store.request_cancel(run_id, NOW + 8)
        assert (await bench.run(run_id)).cancel_requested_at == NOW + 7

    @check
    async def test_a_final_or_unknown_run_cannot_be_cancelled(self, bench: Bench) -> None:
        done = await bench.finished()
        before = await bench.run(done)
        assert not await bench.store.request_cancel(done, NOW + 7)
        assert not await bench.store.request_cancel("nobody", NOW + 7)
        assert await bench.run(done) == before

    @check
    async def test_a_run_cancelled_while_queued_cannot_be_cancelled_again(self, bench: Bench) -> None:
        run_id = await bench.enqueue()
        assert await bench.store.request_cancel(run_id, NOW + 7)
        assert not await bench.store.request_cancel(run_id, NOW + 8)
        assert (await bench.run(run_id)).cancel_requested_at == NOW + 7

    @check
    async def test_a_request_is_gone_once_the_run_is_final(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.store.request_cancel(run_id, NOW + 7)
        await bench.commit(run_id, run=RunPatch(status=RunStatus.CANCELLED, finished_at=NOW + 9))
        assert await bench.store.cancel_requests("one") == []

    @check
    async def test_whoever_takes_over_a_run_is_told_of_the_request(self, bench: Bench) -> None:
        run_id = await bench.running()
        await bench.store.request_cancel(run_id, NOW + 7)
        await bench.store.release("one")
        (loaded,) = await bench.claim("two")
        assert loaded.run.cancel_requested_at == NOW + 7
        assert await bench.store.cancel_requests("two") == [run_id]
        assert await bench.store.cancel_requests("one") == []

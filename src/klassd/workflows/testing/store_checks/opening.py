"""Handles, hints, and what outlives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from klassd.workflows.model.run import NodeRow, RunPatch
from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.ports import Store
from klassd.workflows.testing.store_checks.bench import LONG, NOW, Bench, check, execution, soon, text_chunk


class Opening:
    @check
    async def test_opening_twice_is_harmless(self, bench: Bench) -> None:
        run_id = await bench.enqueue()
        await bench.store.open()
        assert (await bench.run(run_id)).id == run_id

    @check
    async def test_a_handle_sees_what_another_has_written(self, bench: Bench) -> None:
        other = await bench.another()
        for n in range(10):
            run_id = await bench.enqueue(params={"n": n})
            run = await other.get_run(run_id)
            assert run is not None and run.params == {"n": n}

    @check
    async def test_everything_is_there_after_it_was_closed_and_opened(self, bench: Bench) -> None:
        run_id = await bench.running(tags=("t",), params={"a": 1})
        first = execution(run_id, output={"x": 1})
        await bench.commit(run_id, started=(first,), nodes=(NodeRow(name="n", status=NodeStatus.RUNNING, items=[1]),))
        await bench.commit(run_id, logs=((first.id, text_chunk(0, 1, "line")),))
        before = await _everything(bench.store, run_id)
        await bench.close()
        bench.store = await bench.another()
        assert await _everything(bench.store, run_id) == before
        assert await bench.commit(run_id, run=RunPatch(status=RunStatus.SUCCEEDED, finished_at=NOW))


async def _everything(store: Store, run_id: str) -> list[object]:
    id_ = execution(run_id).id
    return [
        await store.get_run(run_id),
        await store.list_nodes(run_id),
        await store.get_execution(id_),
        await store.read_log(id_),
        await store.counts(),
        await store.get_definition("d1"),
    ]


class Hints:
    @check
    async def test_a_watcher_is_rung_when_something_is_enqueued(self, bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            rung = await _watching(tasks, bench.store)
            await bench.enqueue()
            await soon(rung.wait())

    @check
    async def test_a_watcher_on_another_handle_is_rung(self, bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            rung = await _watching(tasks, await bench.another())
            await bench.enqueue()
            await soon(rung.wait())

    @check
    async def test_a_watcher_is_rung_by_changes_and_cancel_requests(self, bench: Bench) -> None:
        run_id = await bench.running()
        other = await bench.another()
        changes: list[Callable[[], Awaitable[bool]]] = [
            lambda: bench.commit(run_id, started=(execution(run_id),)),
            lambda: bench.store.request_cancel(run_id, NOW),
            lambda: bench.commit(run_id, run=RunPatch(status=RunStatus.CANCELLED)),
        ]
        for change in changes:
            async with asyncio.TaskGroup() as tasks:
                rung = await _watching(tasks, other)
                await change()
                await soon(rung.wait())

    @check
    async def test_a_claim_that_finds_nothing_rings_nobody(self, bench: Bench) -> None:
        """Else two idle schedulers would keep waking each other."""
        other = await bench.another()
        async with asyncio.TaskGroup() as tasks:
            rung = await _watching(tasks, other)
            await bench.store.renew("one", LONG)
            assert await bench.store.claim_runs("one", 10, NOW) == []
            await other.counts()  # by when a hint would have come
            quiet = not rung.is_set()
            await bench.enqueue()
            await soon(rung.wait())
        assert quiet

    @check
    async def test_a_watcher_that_goes_away_leaves_the_store_working(self, bench: Bench) -> None:
        for _ in range(3):
            watcher = bench.store.watch()
            waiting = asyncio.ensure_future(anext(aiter(watcher)))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert await bench.enqueue()


async def _watching(tasks: asyncio.TaskGroup, store: Store) -> asyncio.Event:
    """Set at the first hint after it has begun to watch."""
    rung = asyncio.Event()

    async def first(hints: AsyncIterator[None]) -> None:
        async for _ in hints:
            rung.set()
            return

    tasks.create_task(first(store.watch()))
    await asyncio.sleep(0)
    await store.counts()  # gives the watcher time to register, whatever it has to do for it
    return rung

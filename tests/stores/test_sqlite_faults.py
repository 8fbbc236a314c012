"""Faults of the disk and of other processes: a clear error, nothing half done, and the store goes on afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows.errors import StoreError, Unstorable
from klassd.workflows.model.run import Change, RunPatch
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.sqlite import SqliteStore, connection, threads
from klassd.workflows.testing.clock import FakeClock
from klassd.workflows.testing.store_checks.bench import NOW, Bench, execution
from klassd.workflows.testing.stores import StoreConformance

Scene = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "klassd.db"


def play(path: Path, scene: Scene) -> None:
    class Here(StoreConformance):
        def factory(self) -> Callable[[], SqliteStore]:
            return lambda: SqliteStore(path)

    async def on_bench() -> None:
        bench = Bench(Here())
        bench.store = await bench.another()
        try:
            await scene(bench)
        finally:
            await bench.close()

    asyncio.run(on_bench())


class Limited:
    """Connections whose database may have no more than so many pages: a disk that is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connections: list[sqlite3.Connection] = []
        self.pages = 1 << 30
        monkeypatch.setattr(threads, "connect", self.connect)

    def connect(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        made = connection.connect(path, read_only=read_only)
        made.execute(f"PRAGMA max_page_count = {self.pages}")
        return made


@pytest.mark.fault("C6")
def test_a_full_disk_is_a_clear_error_and_the_store_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Limited(monkeypatch)
    disk.pages = 100  # 200 KB

    async def scene(bench: Bench) -> None:
        small = await bench.enqueue()
        large = bench.new(params={"x": "x" * 1_000_000})
        with pytest.raises(StoreError, match="the disk is full: free some space"):
            await bench.store.enqueue([bench.new(), large])
        assert [run.id for run in await bench.all_runs()] == [small]
        assert (await bench.store.counts()).by_name == await bench.recount()
        assert await bench.enqueue()  # a small one still fits
        disk.pages = 1 << 30
        with pytest.raises(StoreError, match="the disk is full"):  # the connection is replaced after it
            await bench.store.enqueue([bench.new(params={"x": "x" * 1_000_000})])
        assert await bench.store.enqueue([large]) == [large.run.id]
        assert (await bench.store.counts()).by_name == await bench.recount()

    play(path, scene)


@pytest.mark.fault("C6")
def test_when_the_disk_is_full_everybody_in_the_group_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Limited(monkeypatch)
    disk.pages = 100

    async def scene(bench: Bench) -> None:
        new = [bench.new(), bench.new(params={"x": "x" * 1_000_000}), bench.new()]
        results = await asyncio.gather(*(bench.store.enqueue([each]) for each in new), return_exceptions=True)
        stored = {run.id for run in await bench.all_runs()}
        for each, result in zip(new, results, strict=True):
            assert isinstance(result, StoreError) == (each.run.id not in stored)
        assert isinstance(results[1], StoreError)

    play(path, scene)


@pytest.mark.fault("C9")
def test_an_operation_that_cannot_be_stored_does_not_spoil_its_group(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        new = [bench.new(), bench.new(priority=2**70), bench.new(definition="d2")]
        results = await asyncio.gather(*(bench.store.enqueue([each]) for each in new), return_exceptions=True)
        assert [result for result in results if isinstance(result, list)] == [[new[0].run.id], [new[2].run.id]]
        assert isinstance(results[1], Unstorable)
        assert (await bench.store.counts()).by_name == await bench.recount() == {"report": {RunStatus.QUEUED: 2}}

    play(path, scene)


def test_a_failed_operation_takes_nothing_of_itself_along(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        run_id, other = await bench.running(), await bench.running()
        changes = [
            Change(run_id=run_id, epoch=1, run=RunPatch(status=RunStatus.SUCCEEDED)),
            Change(run_id=other, epoch=1, started=(execution(other, exit_code=2**70),)),
        ]
        with pytest.raises(Unstorable, match="too large"):
            await bench.store.commit(changes)
        assert (await bench.run(run_id)).status is RunStatus.RUNNING
        assert (await bench.store.counts()).by_name == {"report": {RunStatus.RUNNING: 2}}

    play(path, scene)


@pytest.mark.fault("C4")
def test_a_lock_of_another_process_is_waited_for(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        with _locked(path) as other:
            pending = asyncio.ensure_future(bench.enqueue())
            assert await bench.all_runs() == []  # readers do not wait
            other.execute("COMMIT")
            assert await pending

    play(path, scene)


@pytest.mark.fault("C4")
def test_a_lock_that_is_never_given_up_is_an_error_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_MS", 20)

    async def scene(bench: Bench) -> None:
        with _locked(path) as other:
            with pytest.raises(StoreError, match="another process has kept it locked"):
                await bench.enqueue()
            other.execute("COMMIT")
        assert await bench.enqueue()

    play(path, scene)


class _locked:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_a_damaged_file_is_an_error_that_says_what_to_do(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for _ in range(200):
            await bench.store.enqueue([bench.new() for _ in range(5)])

    play(path, scene)
    _damage(path, beyond=100_000)  # the tables, but not what says which there are

    async def look(bench: Bench) -> None:
        with pytest.raises(StoreError, match="the file is damaged: restore a backup"):
            await bench.all_runs()
        with pytest.raises(StoreError, match="the file is damaged: restore a backup"):
            await bench.store.enqueue([bench.new() for _ in range(2000)])

    play(path, look)
    _damage(path, beyond=4096)
    with pytest.raises(StoreError, match="the file is damaged: restore a backup"):
        play(path, look)


def _damage(path: Path, beyond: int) -> None:
    with open(path, "r+b") as file:
        file.seek(beyond)
        file.write(b"\xff" * (path.stat().st_size - beyond))


def test_whoever_gives_up_waiting_leaves_the_store_working(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        new = bench.new()
        pending = asyncio.ensure_future(bench.store.enqueue([new]))
        await asyncio.sleep(0)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        assert pending.cancelled()
        assert await bench.enqueue()
        assert len(await bench.all_runs()) == 2  # it was on its way already

    play(path, scene)


def test_a_text_no_database_can_look_for_is_refused_when_reading_too(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(Unstorable):
            await bench.store.get_run("\udcff")
        assert await bench.store.find_runs("x") == []

    play(path, scene)


@pytest.mark.fault("B5")
def test_a_clock_set_back_does_not_keep_a_dead_owners_runs(path: Path) -> None:
    clock = FakeClock()

    async def scene(bench: Bench) -> None:
        store = SqliteStore(path, clock=clock)
        await store.open()
        await bench.enqueue()
        await store.renew("one", 15.0)
        assert len(await store.claim_runs("one", 1, NOW + 100)) == 1
        clock.jump(-3600.0)
        await store.renew("two", 15.0)
        assert len(await store.claim_runs("two", 1, NOW + 100)) == 1
        await store.close()

    play(path, scene)


def test_durable_groups_wait_for_the_disk_and_others_do_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    synchronous = threads.Writer._synchronous

    def spy(self: threads.Writer, connection: sqlite3.Connection, full: bool) -> None:
        synchronous(self, connection, full)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2 if full else 1,)
        seen.append(full)

    async def scene(bench: Bench) -> None:
        run_id = await bench.enqueue()
        await bench.claim()
        await bench.commit(run_id, started=(execution(run_id),))
        await bench.commit(run_id, logs=())
        await bench.store.request_cancel(run_id, 1.0)
        await bench.store.renew("one", 9.0)

    monkeypatch.setattr(threads.Writer, "_synchronous", spy)
    play(path, scene)
    assert seen == [True, False, False, True, False, True, False]

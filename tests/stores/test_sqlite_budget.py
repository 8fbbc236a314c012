"""At most 8 rows and 4 KiB written per task, without consoles. Pages are shared by what is committed together, so the bytes
are those of many tasks at once, divided by their number."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from klassd.workflows.model.run import Change, Execution, NodeRow, RunPatch
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.stores.sqlite import SqliteStore, connection, threads
from klassd.workflows.testing.store_checks.bench import LONG, NOW, Bench, execution, patch
from klassd.workflows.testing.stores import StoreConformance

ROWS, BYTES = 8, 4096
AT_ONCE = 250
T = TypeVar("T")


class Written(NamedTuple):
    rows: float
    bytes: float


@pytest.fixture(autouse=True)
def _keep_the_whole_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without checkpoints the write-ahead log holds everything that was written."""

    def connect(path: str, *, read_only: bool = False) -> object:
        made = connection.connect(path, read_only=read_only)
        made.execute("PRAGMA wal_autocheckpoint = 0")
        return made

    monkeypatch.setattr(threads, "connect", connect)


async def _measured(path: Path, tasks: int, work: Callable[[Bench], Awaitable[None]]) -> Written:
    class Here(StoreConformance):
        def factory(self) -> Callable[[], SqliteStore]:
            return lambda: SqliteStore(path)

    bench = Bench(Here())
    bench.store = store = await bench.another()
    assert isinstance(store, SqliteStore)
    try:
        await store.renew("one", LONG)
        await bench.enqueue()  # the definition, which all share
        rows, size = await _rows(store), _size(path)
        await work(bench)
        return Written((await _rows(store) - rows) / tasks, (_size(path) - size) / tasks)
    finally:
        await bench.close()


async def _rows(store: SqliteStore) -> int:
    changes: int = await store._write(lambda transaction: transaction._connection.total_changes)
    return changes


def _size(path: Path) -> int:
    return os.path.getsize(f"{path}-wal")


async def _together(changes: list[Change], bench: Bench) -> None:
    for start in range(0, len(changes), AT_ONCE):
        results = await asyncio.gather(*(bench.store.commit([change]) for change in changes[start : start + AT_ONCE]))
        assert results == [[True]] * len(results)


async def _attempts(bench: Bench, started: list[Execution], *, run_ends: bool) -> None:
    """STARTING, RUNNING, SUCCEEDED: three changes each, as the engine makes them."""
    ends = RunPatch(status=RunStatus.SUCCEEDED, finished_at=NOW, output={"rows": 12}) if run_ends else None
    nodes = (NodeRow(name="report", status=NodeStatus.SUCCEEDED, finished_at=NOW),) if run_ends else ()
    done = {"status": ExecutionStatus.SUCCEEDED, "finished_at": NOW, "output": {"rows": 12}, "log_lines": 7}
    runs = [e.run_id for e in started]
    running = {"status": ExecutionStatus.RUNNING, "started_at": NOW}
    await _together([Change(run_id=r, epoch=1, started=(e,)) for r, e in zip(runs, started, strict=True)], bench)
    await _together(
        [Change(run_id=r, epoch=1, updated=(patch(e, **running),)) for r, e in zip(runs, started, strict=True)], bench
    )
    await _together(
        [
            Change(run_id=r, epoch=1, run=ends, nodes=nodes, updated=(patch(e, **done),))
            for r, e in zip(runs, started, strict=True)
        ],
        bench,
    )


def test_a_plain_job_writes_no_more_than_its_budget(tmp_path: Path) -> None:
    jobs = 1000

    async def life(bench: Bench) -> None:
        new = [bench.new(params={"market": "dk", "n": n}) for n in range(jobs)]
        for start in range(0, jobs, AT_ONCE):
            await asyncio.gather(*(bench.store.enqueue([each]) for each in new[start : start + AT_ONCE]))
        loaded = [each for _ in range(jobs // AT_ONCE) for each in await bench.claim(limit=AT_ONCE)]
        started = [execution(each.run.id, node="report", job="report", launched_at=NOW, place="b" * 36) for each in loaded]
        await _attempts(bench, started, run_ends=True)

    written = asyncio.run(_measured(tmp_path / "klassd.db", jobs, life))
    assert 6 < written.rows <= ROWS
    assert 500 < written.bytes <= BYTES


def test_an_item_of_a_fan_out_writes_no_more_than_its_budget(tmp_path: Path) -> None:
    items = 1000

    async def fan_out(bench: Bench) -> None:
        (loaded,) = await bench.claim()
        run_id = loaded.run.id
        node = NodeRow(name="each", status=NodeStatus.RUNNING, items=[{"id": n} for n in range(items)])
        await bench.commit(run_id, nodes=(node,))
        started = [execution(run_id, n, node="each", job="report", launched_at=NOW, place="b" * 36) for n in range(items)]
        await _attempts(bench, started, run_ends=False)

    written = asyncio.run(_measured(tmp_path / "klassd.db", items, fan_out))
    assert 3 <= written.rows <= ROWS
    assert 300 < written.bytes <= BYTES

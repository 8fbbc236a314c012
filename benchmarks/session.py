"""A scheduler in a process of its own over a fresh store, and a client here."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import processes
from benchmarks.jobs import Trivial, app
from klassd.workflows import Client
from klassd.workflows.client import RunQuery
from klassd.workflows.model.run import Change, Execution, Run, RunPatch, execution_id
from klassd.workflows.model.states import ExecutionStatus, RunStatus

STATES = os.path.join(os.path.dirname(os.path.dirname(__file__)), ".bench", "state")
GIVE_UP = 300.0  # seconds


@dataclass
class Session:
    client: Client
    pid: int  # the scheduler's
    state: str

    async def finished(self, count: int) -> None:
        """Wait until so many runs have succeeded. Looks rarely: what it costs is not to be measured."""
        give_up = time.monotonic() + GIVE_UP
        while (counts := await self.client.counts()).total(RunStatus.SUCCEEDED) < count:
            if counts.total(RunStatus.FAILED) or time.monotonic() > give_up:
                raise SystemExit(f"expected {count} runs to succeed, found {counts.by_name}")
            await asyncio.sleep(0.02)

    async def all_runs(self, name: str) -> list[Run]:
        runs: list[Run] = []
        page = await self.client.runs(RunQuery(name=name, limit=1000))
        while True:
            runs += page.items
            if page.next is None:
                return runs
            page = await self.client.runs(RunQuery(name=name, limit=1000, after=page.next))

    @contextmanager
    def cost(self) -> Any:
        """CPU seconds of scheduler, template and jobs together and each, and bytes the scheduler wrote, while inside."""
        spent: dict[str, float] = {}
        before = self._used()
        yield spent
        time.sleep(0.3)  # what comes after a run's end (its spool, its slot) is part of its cost
        spent |= {name: used - before[name] for name, used in self._used().items()}

    def _used(self) -> dict[str, float]:
        scheduler, _ = processes.cpu_of(self.pid)
        workers = [processes.cpu_of(pid) for pid in self._workers()]
        template, jobs = (sum(each) for each in zip(*workers, strict=True))
        parts = {"scheduler": scheduler, "template": template, "jobs": jobs}
        return {"cpu": processes.cpu_below(), "bytes": processes.bytes_written(self.pid), **parts}

    @property
    def database(self) -> str:
        return os.path.join(self.state, "klassd.db")

    def template_mib(self) -> float:
        """Memory of the process that has imported the jobs' module."""
        return max(map(processes.resident, self._workers()))

    def _workers(self) -> list[int]:
        """What the scheduler has started and what waits to fork more. No job is under way."""
        return [pid for pid in processes.descendants() if "klassd.workflows.worker" in processes.command(pid)]


def state_directory() -> str:
    """Beside the project, as a user's is, and removed when all is measured: ext4 takes 0.5 ms instead of 0.02 to create a file
    for minutes after thousands near it were removed, as tests do in /tmp, and as each measurement would do to the next."""
    os.makedirs(STATES, exist_ok=True)
    found = tempfile.mkdtemp(dir=STATES)
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return found


@asynccontextmanager
async def session(history: int = 0) -> AsyncIterator[Session]:
    state = os.environ["KLASSD_STATE"] = state_directory()
    async with app.client() as client:
        if history:
            await _fill(history)
        with _scheduler() as pid:
            here = Session(client, pid, state)
            await client.wait(await client.enqueue(Trivial(number=0)))  # from now on everything is warm
            yield here


@contextmanager
def _scheduler() -> Any:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    try:
        if process.stdout.readline() != b"ready\n":
            raise SystemExit("the scheduler did not start")
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


async def _fill(count: int) -> None:
    """Finished runs, as if they had happened: through the store's own verbs, without a process each."""
    store = app.store()
    await store.open()
    try:
        async with app.client(store) as client:
            await client.enqueue_many(Trivial(number=number) for number in range(count))
        await store.renew("history", 600)
        while claimed := await store.claim_runs("history", 1000, time.time()):
            await store.commit([_succeeded(loaded.run) for loaded in claimed])
        await store.release("history")
    finally:
        await store.close()


def _succeeded(run: Run) -> Change:
    now = time.time()
    ended = Execution(
        id=execution_id(run.id, 0, 0, 1), run_id=run.id, node=run.name, job=run.name, status=ExecutionStatus.SUCCEEDED,
        created_at=now, launched_at=now, started_at=now, finished_at=now, place="history", output=1,
    )  # fmt: skip
    patch = RunPatch(status=RunStatus.SUCCEEDED, finished_at=now, output=1)
    return Change(run_id=run.id, epoch=run.epoch, run=patch, started=(ended,))


def count_rows(path: str) -> None:
    """From now on every row that anybody inserts, updates or deletes adds one to ``bench_rows``."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        tables = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        ]
        database.execute("CREATE TABLE bench_rows (n INTEGER)")
        database.execute("INSERT INTO bench_rows VALUES (0)")
        for table in tables:
            for verb in ("INSERT", "UPDATE", "DELETE"):
                name, count = f"bench_{table}_{verb}", "UPDATE bench_rows SET n = n + 1"
                database.execute(f'CREATE TRIGGER "{name}" AFTER {verb} ON "{table}" BEGIN {count}; END')


def rows_counted(path: str) -> int:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        return int(database.execute("SELECT n FROM bench_rows").fetchone()[0])


def stored_bytes(path: str) -> int:
    """Bytes of the pages in use, rows and indexes."""
    with closing(sqlite3.connect(path, timeout=30)) as database:
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

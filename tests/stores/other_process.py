"""Run as a process of its own by the tests: ``python other_process.py VERB DATABASE ARGUMENTS``."""

from __future__ import annotations

import asyncio
import sys

from klassd.workflows.model.run import Change, Execution, Run, RunPatch, execution_id
from klassd.workflows.model.states import ExecutionStatus, RunStatus
from klassd.workflows.ports import NewRun
from klassd.workflows.stores.sqlite import SqliteStore
from klassd.workflows.system import SystemClock, SystemIds

NOW = 1_800_000_000.0
TAGS = ("one", "two")


async def work(store: SqliteStore, owner: str) -> None:
    """Claim and end runs until none is left; say each claim and each end that was accepted."""
    print("ready", flush=True)
    sys.stdin.readline()
    await store.renew(owner, 60.0)
    while loaded := await store.claim_runs(owner, 3, NOW + 1_000_000):
        for each in loaded:
            end = RunPatch(status=RunStatus.SUCCEEDED, finished_at=NOW)
            (ended,) = await store.commit([Change(run_id=each.run.id, epoch=each.run.epoch, run=end)])
            print(each.run.id, each.run.epoch, ended, flush=True)


async def write_for_ever(store: SqliteStore, owner: str) -> None:
    """Enqueue runs by threes, claim one, start two executions in one change; say each that was acknowledged."""
    ids, clock = SystemIds(), SystemClock()
    await store.renew(owner, 60.0)
    while True:
        now = clock.now()
        runs = [Run(id=ids.run_id(now), name="n", kind="job", definition="d", tags=TAGS, created_at=now) for _ in range(3)]
        await store.enqueue([NewRun(run=run, definition=b"{}") for run in runs])
        print("enqueued", *(run.id for run in runs), flush=True)
        for loaded in await store.claim_runs(owner, 1, now + 1):
            run = loaded.run
            started = tuple(
                Execution(id=execution_id(run.id, 0, n, 1), run_id=run.id, node="n", index=n, status=ExecutionStatus.STARTING)
                for n in range(2)
            )
            await store.commit([Change(run_id=run.id, epoch=run.epoch, started=started)])
            print("started", run.id, flush=True)


async def watch(store: SqliteStore, _: str) -> None:
    """Say when watching has begun, then each hint."""
    waiting = asyncio.ensure_future(anext(aiter(hints := store.watch())))
    await asyncio.sleep(0)
    print("watching", flush=True)
    while True:
        await waiting
        print("hint", flush=True)
        waiting = asyncio.ensure_future(anext(hints))


async def open_together(store: SqliteStore, _: str) -> None:
    print("opened", flush=True)


async def main(verb: str, path: str, argument: str) -> None:
    store = SqliteStore(path)
    if verb == "open_together":
        print("ready", flush=True)
        sys.stdin.readline()
    await store.open()
    await {"work": work, "write": write_for_ever, "watch": watch, "open_together": open_together}[verb](store, argument)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

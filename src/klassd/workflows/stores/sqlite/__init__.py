"""The embedded store: one SQLite file, any number of processes of one machine, nothing to install or start.

Everything an operation needs is prepared by the caller; a writer thread puts whatever is pending into one transaction (group
commit), and a reader thread answers queries from its own snapshot. What somebody relies on (an enqueue, a decision) has reached
the disk when the call returns; consoles and progress go with the next group that has.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.page import Counts, ExecutionQuery, Page, RunQuery
from klassd.workflows.model.run import Change, Execution, LoadedRun, NodeRow, Run
from klassd.workflows.model.states import StartAnswer
from klassd.workflows.ports import Clock, NewRun
from klassd.workflows.stores.common import Bells, check_changes, check_runs
from klassd.workflows.stores.sqlite import reading, transaction
from klassd.workflows.stores.sqlite.connection import connect, database_path, migrate, prepare, trouble
from klassd.workflows.stores.sqlite.hints import Sockets
from klassd.workflows.stores.sqlite.threads import Reader, Writer, closed
from klassd.workflows.stores.sqlite.transaction import Claim, Transaction
from klassd.workflows.system import SystemClock

__all__ = ["SqliteStore", "database_path"]

T = TypeVar("T")


class SqliteStore:
    """``ports.Store`` in a file: ``SqliteStore("jobs.db")`` or ``SqliteStore("sqlite:///jobs.db")``.

    Local disks only: on a network file system ``open`` refuses. Leases are by the machine's wall clock.
    """

    def __init__(self, url: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self.path = database_path(os.fspath(url))
        self._clock = clock or SystemClock()
        self._bells = Bells()
        self._sockets = Sockets(self.path)
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    async def open(self) -> None:
        """Opening what is open does nothing."""
        if self._writer:
            return
        await asyncio.to_thread(_make, self.path)
        if self._writer is None:
            self._sockets.open()
            self._writer = Writer(self.path, self._bells, self._sockets)
            self._reader = Reader(self.path)

    async def close(self) -> None:
        """After whatever is pending has been done."""
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        if writer and reader:
            await asyncio.to_thread(writer.close)
            await asyncio.to_thread(reader.close)
            self._sockets.close()

    async def _write(self, work: Callable[[Transaction], T], durable: bool = False) -> T:
        if self._writer is None:
            raise closed(self.path)
        return await self._writer.do(work, durable)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._reader is None:
            raise closed(self.path)
        return await self._reader.do(work)

    # -- what applications ask for ------------------------------------------------------------------------------

    async def enqueue(self, runs: Sequence[NewRun]) -> list[str]:
        check_runs(runs)
        prepared = list(map(transaction.prepare_run, runs))
        return await self._write(lambda t: transaction.enqueue(t, prepared), durable=True)

    async def request_cancel(self, run_id: str, now: float) -> bool:
        return await self._write(lambda t: transaction.request_cancel(t, run_id, now), durable=True)

    # -- ownership ----------------------------------------------------------------------------------------------

    async def renew(self, owner: str, ttl: float) -> bool:
        return await self._write(lambda t: transaction.renew(t, owner, ttl, self._clock.now()))

    async def is_live(self, owner: str) -> bool:
        return await self._read(partial(reading.is_live, owner=owner, at=self._clock.now()))

    async def claim_runs(
        self,
        owner: str,
        limit: int,
        now: float,
        queues: Sequence[str] | None = None,
        only: Sequence[str] | None = None,
        abandoned: bool = False,
    ) -> list[LoadedRun]:
        def claim(t: Transaction) -> list[tuple[Run, bytes]]:
            return transaction.claim(t, Claim(owner, limit, now, self._clock.now(), queues, only, abandoned))

        claimed = await self._write(claim)
        if all(run.epoch == 1 for run, _ in claimed):  # nobody had them before: there is nothing but the run
            return [LoadedRun(run=run, definition=definition) for run, definition in claimed]
        return await self._read(partial(reading.load, claimed=claimed))

    async def release(self, owner: str) -> None:
        await self._write(lambda t: transaction.release(t, owner))

    async def cancel_requests(self, owner: str) -> list[str]:
        return await self._read(partial(reading.cancel_requests, owner=owner))

    async def next_due(self, now: float) -> float | None:
        return await self._read(partial(reading.next_due, now=now))

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        check_changes(changes)
        prepared = list(map(transaction.prepare_change, changes))
        return await self._write(lambda t: transaction.commit(t, prepared), durable=any(c.durable for c in changes))

    # -- what workers ask for -----------------------------------------------------------------------------------

    async def start_claim(self, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
        return await self._write(lambda t: transaction.start_claim(t, execution_id, token_hash, started_by), durable=True)

    # -- reading ------------------------------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> Run | None:
        return await self._read(partial(reading.run, run_id=run_id))

    async def find_runs(self, text: str, limit: int = 5) -> list[str]:
        return await self._read(partial(reading.find_runs, text=text, limit=limit))

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        return await self._read(partial(reading.list_runs, query=query))

    async def counts(self) -> Counts:
        return await self._read(reading.counts)

    async def get_definition(self, hash_: str) -> bytes | None:
        return await self._read(partial(reading.definition, hash_=hash_))

    async def list_nodes(self, run_id: str) -> list[NodeRow]:
        return await self._read(partial(reading.nodes, run_id=run_id))

    async def get_execution(self, execution_id: str) -> Execution | None:
        return await self._read(partial(reading.execution, id_=execution_id))

    async def list_executions(self, query: ExecutionQuery) -> Page[Execution]:
        return await self._read(partial(reading.list_executions, query=query))

    async def log_cursor(self, execution_id: str) -> tuple[str, int, int]:
        return await self._read(partial(reading.log_cursor, id_=execution_id))

    async def read_log(self, execution_id: str, first_line: int = 1, limit: int = 1000) -> list[LogLine]:
        return await self._read(partial(reading.read_log, id_=execution_id, first_line=first_line, limit=limit))

    async def finished(self, before: float, limit: int) -> list[Run]:
        return await self._read(partial(reading.finished, before=before, limit=limit))

    async def prune(self, run_ids: Sequence[str]) -> list[str]:
        return await self._write(lambda t: transaction.prune(t, run_ids))

    # -- hints --------------------------------------------------------------------------------------------------

    async def watch(self) -> AsyncIterator[None]:
        with self._bells.bell() as bell, self._sockets.listening(bell.set):
            while True:
                await bell.wait()
                bell.clear()
                yield


def _make(path: str) -> None:
    prepare(path)
    try:
        with closing(connect(path)) as connection:
            migrate(connection, path)
    except sqlite3.Error as error:
        raise trouble(error, path) from error

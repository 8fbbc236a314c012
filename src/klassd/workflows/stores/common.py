"""What every store of ours does the same way: checks before anything is written, leases, consoles, hints in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from klassd.workflows.errors import Unstorable
from klassd.workflows.model.logs import LogLine, lines_of
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, LogChunk, execution_key
from klassd.workflows.model.states import ExecutionStatus, RunStatus, StartAnswer
from klassd.workflows.ports import NewRun

ExecutionKey = tuple[int, int, int]  # node ordinal, index, attempt: the order executions of a run are listed in


class Lease(NamedTuple):
    """An owner's lease. Wall time, because it must still mean something after the machine's restart."""

    until: float
    ttl: float

    def live(self, now: float) -> bool:
        """Two ttl before its end it had not been granted yet: the clock was set back, and waiting for it could take hours."""
        return self.until - 2 * self.ttl <= now < self.until


# -- starts -------------------------------------------------------------------------------------------------------------

_MAY_START = (ExecutionStatus.STARTING, ExecutionStatus.RUNNING)


def answer_start(run: RunStatus, execution: Execution, token_hash: str, started_by: str) -> StartAnswer:
    """What ``start_claim`` says; where it is GRANTED, ``started_by`` has to be stored in the same transaction."""
    if token_hash not in execution.token_hashes:
        return StartAnswer.UNKNOWN
    if execution.started_by not in (None, started_by):
        return StartAnswer.TAKEN
    if run.final or execution.status not in _MAY_START:
        return StartAnswer.OVER
    return StartAnswer.GRANTED


# -- checks -------------------------------------------------------------------------------------------------------------


def key_of(execution_id: str, run_id: str) -> ExecutionKey:
    """Where the execution stands in its run. Raises ``Unstorable`` for an id that is no execution of this run."""
    try:
        of_run, *key = execution_key(execution_id)
    except ValueError:
        of_run, key = "", []
    if of_run != run_id:
        raise Unstorable(f"execution {execution_id!r} is none of run {run_id!r}: expected RUN-ORDINAL-INDEX-ATTEMPT")
    ordinal, index, attempt = key
    return ordinal, index, attempt


def check_runs(runs: Iterable[NewRun]) -> None:
    for new in runs:
        to_json(new.run, f"run {new.run.id} of {new.run.name!r}")


def check_changes(changes: Iterable[Change]) -> None:
    """Raises ``Unstorable`` before anything of the group is written."""
    for change in changes:
        to_json((change.run, change.nodes, change.started, change.updated), f"a change of run {change.run_id}")
        rows: tuple[Execution | ExecutionPatch, ...] = (*change.started, *change.updated)
        for row in rows:
            if key_of(row.id, change.run_id)[1:] != (row.index, row.attempt):
                raise Unstorable(f"execution {row.id!r} says item {row.index}, attempt {row.attempt}: its id says otherwise")
        for execution_id, chunk in change.logs:
            key_of(execution_id, change.run_id)
            to_json(chunk.cursor, f"the cursor of a log chunk of {execution_id}")


def to_json(value: Any, what: str) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        found = error.object[error.start]
        raise Unstorable(f"{what} holds the lone surrogate {found!r}, which no UTF-8 text can: replace it before") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unstorable(f"{what} is no JSON: {error}") from error


def chunk_end(chunk: LogChunk) -> tuple[str, int, int]:
    """(cursor, next seq, next line) after it."""
    next_seq = chunk.next_seq or chunk.first_seq + len(msgspec.json.decode(chunk.data, type=list[msgspec.Raw]))
    return chunk.cursor, next_seq, chunk.first_line + chunk.lines


# -- consoles -----------------------------------------------------------------------------------------------------------


def lines_from(chunks: Iterable[bytes], first_line: int, limit: int) -> list[LogLine]:
    """Up to ``limit`` lines from ``first_line`` on. ``chunks`` begin where that line begins, or before; no more of them are
    taken than are needed. Of a gap that began before, what is left of it."""
    lines: list[LogLine] = []

    def needed() -> Iterator[bytes]:
        for data in chunks:
            if len(lines) >= limit:
                return
            yield data

    for line in lines_of(needed()):
        if line.number >= first_line:
            lines.append(line)
        elif (left := line.number + line.missing - first_line) > 0:
            lines.append(msgspec.structs.replace(line, number=first_line, missing=left))
    return sorted(lines, key=lambda line: line.number)[: max(0, limit)]


# -- hints --------------------------------------------------------------------------------------------------------------


class Bells:
    """The watchers of one store object, on whatever event loops they wait."""

    def __init__(self) -> None:
        self._bells: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        """Set whenever something may have changed."""
        bell = asyncio.Event()
        self._bells[bell] = asyncio.get_running_loop()
        try:
            yield bell
        finally:
            del self._bells[bell]

    def by_loop(self) -> dict[asyncio.AbstractEventLoop, list[Callable[[], None]]]:
        """What to call, and on which loop."""
        calls: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
        for bell, loop in list(self._bells.items()):
            calls.setdefault(loop, []).append(bell.set)
        return calls

    def ring(self) -> None:
        """From a coroutine: at once on its own loop, by way of the loop on others."""
        here = asyncio.get_running_loop()
        for loop, calls in self.by_loop().items():
            for call in calls:
                if loop is here:
                    call()
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(call)

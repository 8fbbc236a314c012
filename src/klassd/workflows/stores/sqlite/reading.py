"""What is read, one function per verb. Each runs on the reader's thread, inside its snapshot."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice
from typing import Any

from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.page import Counts, ExecutionQuery, Page, RunQuery
from klassd.workflows.model.run import Execution, LoadedRun, NodeRow, Run
from klassd.workflows.model.states import RunStatus
from klassd.workflows.stores.common import Lease, chunk_end, key_of, lines_from
from klassd.workflows.stores.sqlite import rows
from klassd.workflows.stores.sqlite.rows import queries

SUFFIX_DEPTH = 10_000  # newest runs in which an id is looked for by its end
_END = "\U0010ffff"  # sorts after every id

Connection = sqlite3.Connection
Values = dict[str, Any]


def _query(connection: Connection, name: str, values: Values) -> sqlite3.Cursor:
    return connection.execute(queries()[name], values)


def _lazily(connection: Connection, name: str, values: Values) -> Generator[Any]:
    """Row by row, for whoever stops early; the statement is closed then."""
    with closing(_query(connection, name, values)) as cursor:
        yield from cursor


# -- runs ---------------------------------------------------------------------------------------------------------------


def run(connection: Connection, run_id: str) -> Run | None:
    found = _query(connection, "run", {"id": run_id}).fetchone()
    return rows.run_of(found) if found else None


def finished(connection: Connection, before: float, limit: int) -> list[Run]:
    return [rows.run_of(row) for row in _query(connection, "finished_runs", {"before": before, "limit": limit})]


def find_runs(connection: Connection, text: str, limit: int) -> list[str]:
    between = {"first": text, "end": text + _END, "limit": limit}
    ending = {"end": _END, "text": text, "depth": SUFFIX_DEPTH, "limit": limit}
    found = {*_query(connection, "ids_between", between), *_query(connection, "ids_ending", ending)}
    return sorted((id_ for (id_,) in found), reverse=True)[:limit]


def list_runs(connection: Connection, query: RunQuery) -> Page[Run]:
    limit = max(1, query.limit)
    with closing(_runs(connection, query, query.after or _END)) as found:
        items = list(islice((run for run in found if _fits(run, query)), limit + 1))
    return Page(items=items[:limit], next=items[limit - 1].id if len(items) > limit else None)


def _runs(connection: Connection, query: RunQuery, after: str) -> Generator[Run]:
    """Newest first, from the index that leaves out most."""
    if query.tag is not None:
        with closing(_lazily(connection, "newest_of_tag", {"tag": query.tag, "after": after})) as ids:
            yield from filter(None, (run(connection, id_) for (id_,) in ids))
        return
    if query.tenant:
        found_rows = _lazily(connection, "newest_of_tenant", {"tenant": query.tenant, "after": after})
    elif query.name is not None or query.statuses:
        found_rows = _by_name_and_status(connection, query, after)
    else:
        found_rows = _lazily(connection, "newest_runs", {"after": after})
    with closing(found_rows):
        yield from map(rows.run_of, found_rows)


def _by_name_and_status(connection: Connection, query: RunQuery, after: str) -> Generator[Any]:
    """One index range for each name and status that has runs, merged: the counters know which."""
    wanted = [
        (name, status)
        for name, status, _ in _query(connection, "counts", {})
        if query.name in (None, name) and (not query.statuses or status in query.statuses)
    ]
    ranges = [
        _lazily(connection, "newest_of_name", {"name": name, "status": status, "after": after}) for name, status in wanted
    ]
    try:
        yield from heapq.merge(*ranges, key=lambda row: row[0], reverse=True)
    finally:
        for each in ranges:
            each.close()


def _fits(run: Run, query: RunQuery) -> bool:
    return (
        (not query.statuses or run.status in query.statuses)
        and query.name in (None, run.name)
        and query.tenant in (None, run.tenant)
    )


def counts(connection: Connection) -> Counts:
    by_name: dict[str, dict[RunStatus, int]] = {}
    for name, status, number in _query(connection, "counts", {}):
        by_name.setdefault(name, {})[RunStatus(status)] = number
    return Counts(by_name)


def is_live(connection: Connection, owner: str, at: float) -> bool:
    found = _query(connection, "lease", {"owner": owner}).fetchone()
    return found is not None and Lease(*found).live(at)


def cancel_requests(connection: Connection, owner: str) -> list[str]:
    return [id_ for (id_,) in _query(connection, "to_cancel", {"owner": owner})]


def next_due(connection: Connection, now: float) -> float | None:
    due: float | None = _query(connection, "next_due", {"now": now}).fetchone()[0]
    return due


def load(connection: Connection, claimed: Iterable[tuple[Run, bytes]]) -> list[LoadedRun]:
    return [
        LoadedRun(
            run=run,
            definition=definition,
            nodes=tuple(nodes(connection, run.id)),
            executions=tuple(_executions(connection, ExecutionQuery(run_id=run.id), (-1, 0, 0))),
        )
        for run, definition in claimed
    ]


# -- inside a run -------------------------------------------------------------------------------------------------------


def definition(connection: Connection, hash_: str) -> bytes | None:
    found = _query(connection, "definition", {"hash": hash_}).fetchone()
    return found[0] if found else None


def nodes(connection: Connection, run_id: str) -> list[NodeRow]:
    return list(map(rows.node_of, _query(connection, "nodes", {"run_id": run_id})))


def execution(connection: Connection, id_: str) -> Execution | None:
    key = rows.key_values_of(id_)
    found = key and _query(connection, "execution", key).fetchone()
    return rows.execution_of(found) if found else None


def list_executions(connection: Connection, query: ExecutionQuery) -> Page[Execution]:
    limit = max(1, query.limit)
    after = key_of(query.after, query.run_id) if query.after else (-1, 0, 0)
    with closing(_executions(connection, query, after)) as found:
        items = list(islice((row for row in found if not query.statuses or row.status in query.statuses), limit + 1))
    return Page(items=items[:limit], next=items[limit - 1].id if len(items) > limit else None)


def _executions(connection: Connection, query: ExecutionQuery, after: tuple[int, int, int]) -> Generator[Execution]:
    ordinal, item, attempt = after
    place = {"run_id": query.run_id, "ordinal": ordinal, "item": item, "attempt": attempt}
    if query.node is None:
        with closing(_lazily(connection, "executions", place)) as found:
            yield from map(rows.execution_of, found)
        return
    for of_node, name in _query(connection, "node_ordinals", {"run_id": query.run_id}).fetchall():
        if name == query.node and of_node >= ordinal:
            start = place if of_node == ordinal else {**place, "ordinal": of_node, "item": -1, "attempt": 0}
            with closing(_lazily(connection, "executions_of_node", start)) as found:
                yield from map(rows.execution_of, found)


# -- consoles -----------------------------------------------------------------------------------------------------------


def log_cursor(connection: Connection, id_: str) -> tuple[str, int, int]:
    key = rows.key_values_of(id_)
    found = key and _query(connection, "last_chunk", key).fetchone()
    return chunk_end(rows.chunk_of(found)) if found else ("", 0, 1)


def read_log(connection: Connection, id_: str, first_line: int, limit: int) -> list[LogLine]:
    key = rows.key_values_of(id_)
    if key is None:
        return []
    before = _query(connection, "chunk_before", {**key, "line": first_line}).fetchone() or (0, -1)
    chunks = _lazily(connection, "chunks_from", {**key, "first_line": before[0], "first_seq": before[1]})
    with closing(chunks):
        return lines_from((data for (data,) in chunks), first_line, limit)

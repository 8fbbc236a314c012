"""What is done inside the writer's transaction, one function per verb."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from klassd.workflows.model.run import Change, Run
from klassd.workflows.model.states import RunStatus, StartAnswer
from klassd.workflows.ports import NewRun
from klassd.workflows.stores.common import Lease, answer_start
from klassd.workflows.stores.sqlite import rows
from klassd.workflows.stores.sqlite.rows import queries

FORGET_OWNERS = 24 * 3600.0  # seconds after its end that a lease is remembered, to tell a late owner so

Values = dict[str, Any]


K = TypeVar("K")


class _Total(Generic[K]):
    def __init__(self) -> None:
        self.sum: Counter[K] = Counter()
        self.delta: Counter[K] = Counter()  # of the operation under way


class Transaction:
    """A group's transaction. Counters are added up and written once per group: one row per name and status, not per run."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = queries()
        self._runs, self._uses = _Total[tuple[str, str]](), _Total[str]()
        self._touched = False
        self.changed = False  # something that watchers may want to look at

    def do(self, query: str, values: Values) -> sqlite3.Cursor:
        return self._connection.execute(self._sql[query], values)

    def statement(self, sql: str, values: Values) -> None:
        self._connection.execute(sql, values)

    def count(self, name: str, status: str, number: int) -> None:
        self._runs.delta[name, status] += number

    def count_definition(self, hash_: str, number: int) -> None:
        self._uses.delta[hash_] += number

    def touch(self) -> None:
        self._touched = True

    # -- an operation's savepoint -------------------------------------------------------------------------------

    def begin(self) -> None:
        self._connection.execute("SAVEPOINT operation")

    def keep(self) -> None:
        self._connection.execute("RELEASE operation")
        self._runs.sum.update(self._runs.delta)
        self._uses.sum.update(self._uses.delta)
        self.changed |= self._touched
        self._reset()

    def undo(self) -> None:
        self._connection.execute("ROLLBACK TO operation")
        self._connection.execute("RELEASE operation")
        self._reset()

    def _reset(self) -> None:
        self._touched = False
        self._runs.delta.clear()
        self._uses.delta.clear()

    def finish(self) -> None:
        """Before the commit: the counters of the whole group."""
        for (name, status), number in self._runs.sum.items():
            if number:
                self.do("count_runs", {"name": name, "status": status, "number": number})
        for hash_, number in self._uses.sum.items():
            if number:
                self.do("count_definition_uses", {"hash": hash_, "number": number})
            if number < 0 and self.do("unused_definition", {"hash": hash_}).fetchone():
                self.do("delete_definition", {"hash": hash_})
                self.do("delete_definition_uses", {"hash": hash_})


# -- what applications ask for ------------------------------------------------------------------------------------------


class PreparedRun(NamedTuple):
    values: Values
    tags: tuple[str, ...]
    refers_to: tuple[str, ...]
    definition: bytes


def prepare_run(new: NewRun) -> PreparedRun:
    tags, refers_to = (tuple(dict.fromkeys(each)) for each in (new.run.tags, new.run.refers_to))
    return PreparedRun(rows.run_values(new.run), tags, refers_to, new.definition)


def enqueue(transaction: Transaction, runs: Sequence[PreparedRun]) -> list[str]:
    known: set[str] = set()
    return [_insert(transaction, run, known) for run in runs]


def _insert(transaction: Transaction, run: PreparedRun, known: set[str]) -> str:
    values = run.values
    if (same := _with_key(transaction, values)) is not None:
        return same
    id_: str = values["id"]
    if not transaction.do("insert_run", values).rowcount:
        return id_
    if values["definition"] not in known:
        transaction.do("insert_definition", {"hash": values["definition"], "data": run.definition})
        known.add(values["definition"])
    for tag in run.tags:
        transaction.do("insert_tag", {"tag": tag, "run_id": id_})
    for run_id in run.refers_to:
        transaction.do("insert_reference", {"refers_to": run_id, "run_id": id_})
    transaction.count(values["name"], values["status"], 1)
    transaction.count_definition(values["definition"], 1)
    transaction.touch()
    return id_


def _with_key(transaction: Transaction, values: Values) -> str | None:
    key = values["idempotency_key"]
    if key is None:
        return None
    found = transaction.do("run_with_key", {"tenant": values["tenant"], "key": key}).fetchone()
    return found[0] if found else None


def request_cancel(transaction: Transaction, run_id: str, now: float) -> bool:
    found = transaction.do("run_state", {"id": run_id}).fetchone()
    if found is None or RunStatus(found[1]).final:
        return False
    name, status, _ = found
    if status == RunStatus.QUEUED:
        transaction.do("cancel_queued", {"id": run_id, "now": now})
        transaction.count(name, status, -1)
        transaction.count(name, RunStatus.CANCELLED.value, 1)
    else:
        transaction.do("request_cancel", {"id": run_id, "now": now})
    transaction.touch()
    return True


# -- ownership ----------------------------------------------------------------------------------------------------------


def renew(transaction: Transaction, owner: str, ttl: float, at: float) -> bool:
    before = _lease(transaction, owner)
    if before is None:
        transaction.do("forget_owners", {"before": at - FORGET_OWNERS})
    transaction.do("renew", {"owner": owner, "until": at + ttl, "ttl": ttl})
    return before is None or before.live(at)


def _lease(transaction: Transaction, owner: str) -> Lease | None:
    found = transaction.do("lease", {"owner": owner}).fetchone()
    return Lease(*found) if found else None


def _live(transaction: Transaction, owner: str, at: float) -> bool:
    lease = _lease(transaction, owner)
    return lease is not None and lease.live(at)


class Claim(NamedTuple):
    owner: str
    limit: int
    now: float  # for what is due and when it began
    at: float  # the store's clock, for leases
    queues: Sequence[str] | None
    only: Sequence[str] | None
    abandoned: bool


def claim(transaction: Transaction, wanted: Claim) -> list[tuple[Run, bytes]]:
    if wanted.limit <= 0 or not _live(transaction, wanted.owner, wanted.at):
        return []
    candidates = _named(transaction, wanted) if wanted.only is not None else _free(transaction, wanted)
    claimed = [_take(transaction, run_id, wanted) for _, run_id in sorted(candidates)[: wanted.limit]]
    return _with_definitions(transaction, claimed)


def _free(transaction: Transaction, wanted: Claim) -> list[tuple[int, str]]:
    """The first of each queue, and of each owner whose lease has run out: a few index seeks, however many runs there are."""
    found = _abandoned(transaction, wanted)
    if wanted.abandoned:
        return found
    transaction.do("promote", {"now": wanted.now})
    queues = wanted.queues if wanted.queues is not None else [row[0] for row in transaction.do("free_queues", {})]
    for queue in dict.fromkeys(queues):
        found += transaction.do("free_runs", {"queue": queue, "now": wanted.now, "limit": wanted.limit})
    return found


def _abandoned(transaction: Transaction, wanted: Claim) -> list[tuple[int, str]]:
    only_queues = None if wanted.queues is None else msgspec.json.encode(list(wanted.queues)).decode()
    these = {"queues": only_queues, "limit": wanted.limit}
    found: list[tuple[int, str]] = transaction.do("released_runs", these).fetchall()
    for (owner,) in transaction.do("run_owners", {}).fetchall():
        if not _live(transaction, owner, wanted.at):
            found += transaction.do("owned_runs", {"owner": owner, **these})
    return found


def _named(transaction: Transaction, wanted: Claim) -> list[tuple[int, str]]:
    rows_of = (transaction.do("claim_candidate", {"id": id_, "now": wanted.now}).fetchone() for id_ in set(wanted.only or ()))
    return [
        (order, run_id)
        for order, run_id, owner, queue, epoch in filter(None, rows_of)
        if (wanted.queues is None or queue in wanted.queues)
        and (owner is None or not _live(transaction, owner, wanted.at))
        and (epoch > 0 or not wanted.abandoned)
    ]


def _take(transaction: Transaction, run_id: str, wanted: Claim) -> Run:
    before = rows.run_of(transaction.do("run", {"id": run_id}).fetchone())
    transaction.do("claim", {"id": run_id, "owner": wanted.owner, "now": wanted.now})
    transaction.touch()
    run = msgspec.structs.replace(before, owner=wanted.owner, epoch=before.epoch + 1)
    if before.status is not RunStatus.QUEUED:
        return run
    transaction.count(run.name, RunStatus.QUEUED.value, -1)
    transaction.count(run.name, RunStatus.RUNNING.value, 1)
    return msgspec.structs.replace(run, status=RunStatus.RUNNING, started_at=wanted.now)


def _with_definitions(transaction: Transaction, runs: list[Run]) -> list[tuple[Run, bytes]]:
    data: dict[str, bytes] = {}
    for hash_ in {run.definition for run in runs}:
        data[hash_] = transaction.do("definition", {"hash": hash_}).fetchone()[0]
    return [(run, data[run.definition]) for run in runs]


def release(transaction: Transaction, owner: str) -> None:
    transaction.do("delete_owner", {"owner": owner})
    if transaction.do("release_runs", {"owner": owner}).rowcount:
        transaction.touch()


# -- what workers ask for -----------------------------------------------------------------------------------------------


def start_claim(transaction: Transaction, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
    key = rows.key_values_of(execution_id)
    row = transaction.do("execution", key).fetchone() if key else None
    if key is None or row is None:
        return StartAnswer.UNKNOWN
    _, status, _ = transaction.do("run_state", {"id": key["run_id"]}).fetchone()
    answer = answer_start(RunStatus(status), rows.execution_of(row), token_hash, started_by)
    if answer is StartAnswer.GRANTED:
        transaction.do("set_started_by", {**key, "started_by": started_by})
    return answer


# -- changes ------------------------------------------------------------------------------------------------------------


class PreparedChange(NamedTuple):
    run_id: str
    epoch: int
    run: Values | None
    statements: list[tuple[str, Values]]  # in order


def prepare_change(change: Change) -> PreparedChange:
    """Everything that can be done before the transaction, and outside its thread."""
    sql, run_id = queries(), change.run_id
    statements = [(sql["put_node"], rows.node_values(run_id, row)) for row in change.nodes]
    statements += [(sql["insert_execution"], rows.execution_values(row)) for row in change.started]
    statements += [prepared for patch in change.updated if (prepared := rows.execution_patch(run_id, patch))]
    statements += [(sql["insert_chunk"], rows.chunk_values(id_, run_id, chunk)) for id_, chunk in change.logs]
    run = rows.run_patch_values(run_id, change.run) if change.run else None
    return PreparedChange(run_id, change.epoch, run, statements)


def commit(transaction: Transaction, changes: Sequence[PreparedChange]) -> list[bool]:
    return [_apply(transaction, change) for change in changes]


def _apply(transaction: Transaction, change: PreparedChange) -> bool:
    found = transaction.do("run_state", {"id": change.run_id}).fetchone()
    if found is None or found[2] != change.epoch or RunStatus(found[1]).final:
        return False
    if change.run:
        _patch_run(transaction, change.run, *found[:2])
    for sql, values in change.statements:
        transaction.statement(sql, values)
    transaction.touch()
    return True


def _patch_run(transaction: Transaction, values: Values, name: str, status: str) -> None:
    transaction.do("patch_run", values)
    if values["status"] is not None and values["status"] != status:
        transaction.count(name, status, -1)
        transaction.count(name, values["status"], 1)


def prune(transaction: Transaction, run_ids: Sequence[str]) -> list[str]:
    found = (transaction.do("run", {"id": run_id}).fetchone() for run_id in dict.fromkeys(run_ids))
    runs = [rows.run_of(row) for row in found if row is not None]
    return [_remove(transaction, run) for run in runs if run.status.final]


def _remove(transaction: Transaction, run: Run) -> str:
    for query in ("delete_chunks", "delete_executions", "delete_nodes", "delete_run"):
        transaction.do(query, {"id": run.id})
    for tag in run.tags:
        transaction.do("delete_tag", {"tag": tag, "id": run.id})
    for run_id in run.refers_to:
        transaction.do("delete_reference", {"refers_to": run_id, "id": run.id})
    transaction.count(run.name, run.status.value, -1)
    transaction.count_definition(run.definition, -1)
    transaction.touch()
    return run.id

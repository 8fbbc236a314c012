"""Runs, nodes and executions as the store holds them. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from klassd.workflows.model.phases import Phases
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One passage through a workflow."""

    id: str
    name: str  # the workflow's name or the job's key
    kind: str  # "job" or "workflow"
    definition: str  # hash of the snapshot
    params: dict[str, Any] = {}
    status: RunStatus = RunStatus.QUEUED
    tenant: str = ""
    tags: tuple[str, ...] = ()
    queue: str = "default"
    priority: int = 0
    idempotency_key: str | None = None
    rerun_of: str | None = None
    refers_to: tuple[str, ...] = ()  # runs whose artifacts it was given: they are kept as long as it is
    created_at: float = 0.0
    not_before: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    cancel_requested_at: float | None = None
    output: Any = None
    error: str | None = None
    owner: str | None = None
    epoch: int = 0  # fencing token: grows with every owner


class RunPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision changes of a run. None: unchanged."""

    status: RunStatus | None = None
    finished_at: float | None = None
    output: Any = None
    error: str | None = None


class NodeRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State of a node that is more than its executions say: an expansion, or its end.

    A node without a row is pending or, where it has executions, running: so a plain node costs one row in all.
    """

    name: str
    status: NodeStatus
    items: list[Any] | None = None  # the fan-out's items, stored once
    error: str | None = None
    finished_at: float | None = None
    address: str | None = None  # of a service, once it is ready: "host:port", or the host alone


def over_node(before: NodeRow | None, after: NodeRow) -> NodeRow:
    """What a node's row is when ``after`` replaces ``before``: items and address stay once they are known."""
    if before is None:
        return after
    items = before.items if after.items is None else after.items
    return msgspec.structs.replace(after, items=items, address=after.address or before.address)


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of a task: one process or pod, one console."""

    id: str
    run_id: str
    node: str
    index: int = 0  # the item of a fan-out; 0 for a plain node
    attempt: int = 1
    job: str = ""
    status: ExecutionStatus = ExecutionStatus.QUEUED
    created_at: float = 0.0
    not_before: float = 0.0
    launched_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    place: str | None = None  # where it was launched: a machine's boot, a cluster's namespace
    token_hashes: tuple[str, ...] = ()  # of the secrets, one an owner, that its start may be claimed with: see ``hash_token``
    started_by: str | None = None  # who claimed its start; only ``Store.start_claim`` sets it
    waiting: str | None = None  # as the executor says: why it was not started yet, or that nobody can tell whether it runs
    located: dict[str, str | int] = {}  # where it is within that place: "pod" and "node" of a cluster, "pid" on a machine
    phases: Phases = Phases()
    cause: Cause | None = None
    error: str | None = None
    detail: str | None = None  # traceback or whatever helps further
    exit_code: int | None = None
    output: Any = None
    outputs: dict[str, Any] = {}  # named outputs besides the return value
    warnings: tuple[str, ...] = ()
    progress: dict[str, Any] = {}
    log_lines: int = 0
    memory: str | None = None  # request/limit that it asks for or had, where an out-of-memory kill made that known


class ExecutionPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision changes of an execution. UNSET: unchanged."""

    id: str
    node: str
    index: int
    attempt: int
    status: ExecutionStatus | msgspec.UnsetType = msgspec.UNSET
    launched_at: float | msgspec.UnsetType = msgspec.UNSET
    started_at: float | msgspec.UnsetType = msgspec.UNSET
    finished_at: float | msgspec.UnsetType = msgspec.UNSET
    place: str | msgspec.UnsetType = msgspec.UNSET
    token_hashes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    waiting: str | msgspec.UnsetType | None = msgspec.UNSET
    located: dict[str, str | int] | msgspec.UnsetType = msgspec.UNSET
    phases: Phases | msgspec.UnsetType = msgspec.UNSET
    cause: Cause | msgspec.UnsetType | None = msgspec.UNSET
    error: str | msgspec.UnsetType | None = msgspec.UNSET
    detail: str | msgspec.UnsetType | None = msgspec.UNSET
    exit_code: int | msgspec.UnsetType | None = msgspec.UNSET
    output: Any = msgspec.UNSET
    outputs: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    warnings: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    progress: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    log_lines: int | msgspec.UnsetType = msgspec.UNSET
    memory: str | msgspec.UnsetType | None = msgspec.UNSET


def execution_id(run_id: str, node_ordinal: int, index: int, attempt: int) -> str:
    """Derived, not drawn: whoever decides the same attempt gives it the same id, and so the same process or pod."""
    return f"{run_id}-{node_ordinal}-{index}-{attempt}"


def hash_token(token: str) -> str:
    """What is stored of a secret of 256 random bits: it needs no salt, and no more than one round."""
    return hashlib.sha256(token.encode()).hexdigest()


def execution_key(execution_id_: str) -> tuple[str, int, int, int]:
    """(run id, node ordinal, index, attempt) of an id made by ``execution_id``. Raises ValueError for any other text."""
    run_id, *numbers = execution_id_.rsplit("-", 3)
    ordinal, index, attempt = map(int, numbers)
    if execution_id(run_id, ordinal, index, attempt) != execution_id_ or max(ordinal, index, attempt) >= 2**63:
        raise ValueError(execution_id_)
    return run_id, ordinal, index, attempt


class LoadedRun(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an owner needs to go on with a run."""

    run: Run
    definition: bytes
    nodes: tuple[NodeRow, ...] = ()
    executions: tuple[Execution, ...] = ()  # every attempt, oldest first within a task


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive log frames of one execution, as they are stored.

    ``data`` is a JSON array of records, see ``model.logs``. ``first_seq`` makes the append idempotent, ``first_line`` and
    ``lines`` make it addressable, ``cursor`` is where a follower goes on after this chunk and ``next_seq`` the frame it finds
    there (log frames have others between them; 0: one after each record from ``first_seq`` on).
    """

    first_seq: int
    first_line: int
    lines: int
    data: bytes
    cursor: str
    next_seq: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about one run, committed whole or not at all.

    ``epoch`` is the fencing token the decision was made under; the store refuses it once the run has moved on.
    """

    run_id: str
    epoch: int
    run: RunPatch | None = None
    nodes: tuple[NodeRow, ...] = ()
    started: tuple[Execution, ...] = ()  # new rows: they are the outbox
    updated: tuple[ExecutionPatch, ...] = ()
    logs: tuple[tuple[str, LogChunk], ...] = ()

    @property
    def durable(self) -> bool:
        """Whether it must have reached the disk before anybody acts on it. Consoles, progress and the mark
        "running" need not: after a power cut the process they speak of is gone too."""
        return bool(
            self.run
            or self.nodes
            or self.started
            or any(p.status not in (msgspec.UNSET, ExecutionStatus.RUNNING) or p.token_hashes for p in self.updated)
        )

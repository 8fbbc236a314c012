"""An execution that is not final, as its keeper has it in memory: what it is, and what was heard of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from klassd.workflows.engine.course import Course
from klassd.workflows.model.run import Execution, ExecutionPatch
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.ports import Spawned

TaskId = tuple[str, int]  # node, index
BARS = 100  # progress bars kept of one execution


@dataclass(slots=True)
class Live:
    id: str
    task: TaskId
    attempt: int
    node: Node
    status: ExecutionStatus
    adopted: bool = False  # an earlier owner may have launched it
    slot: bool = False
    inside: bool = False  # through the gate: launched, or about to be
    stop_requested: bool = False
    started_at: float | None = None
    lines: int = 0  # of its console, heard so far
    gone: str = ""  # why it cannot be followed any more
    waiting: str | None = None  # why it was not started yet, or that nobody can tell whether it runs
    unknown: float | None = None  # since when nobody can tell whether it runs
    late: bool = False  # its start deadline passed
    held_at: float | None = None  # since when others hold its start back
    held_for: float = 0.0  # seconds that they have done so before
    freed: asyncio.Event | None = None  # set when they do so no more
    course: Course = field(default_factory=Course)
    token_hashes: tuple[str, ...] = ()  # that earlier owners have stored
    bars: dict[str, Any] = field(default_factory=dict)
    following: Spawned | None = None
    launched: asyncio.Event = field(default_factory=asyncio.Event)

    def patch(self, **said: Any) -> ExecutionPatch:
        node, index = self.task
        return ExecutionPatch(id=self.id, node=node, index=index, attempt=self.attempt, **self.course.news(), **said)

    # What is heard changes it, and gives what that changes of its row.

    def show(self, bars: dict[str, Any]) -> dict[str, Any]:
        """All its bars: those that are told now, and what is known of the others. Of too many, those that moved last."""
        moved = {name: bar for name, bar in self.bars.items() if name not in bars} | bars
        self.bars = dict(list(moved.items())[-BARS:])
        return {"progress": self.bars}

    def waits(self, why: str) -> dict[str, Any]:
        if self.started_at is not None or why == self.waiting:
            return {}
        self.waiting = why
        return {"waiting": why}

    def hold(self, held: bool, now: float) -> None:
        if held and self.held_at is None:
            self.held_at, self.freed = now, asyncio.Event()
        elif not held and self.held_at is not None and self.freed is not None:
            self.held_for += now - self.held_at
            self.freed.set()
            self.held_at = self.freed = None

    def waits_no_more(self) -> dict[str, Any]:
        waited, self.waiting = self.waiting, None
        return {"waiting": None} if waited else {}


def adopted(execution: Execution, node: Node) -> Live:
    """What an earlier owner left."""
    return Live(
        id=execution.id,
        task=(execution.node, execution.index),
        attempt=execution.attempt,
        node=node,
        status=execution.status,
        adopted=True,
        started_at=execution.started_at,
        bars=execution.progress,
        waiting=execution.waiting,
        course=Course(execution.located, execution.phases),
        token_hashes=execution.token_hashes,
        stop_requested=execution.status is ExecutionStatus.STOPPING,
    )

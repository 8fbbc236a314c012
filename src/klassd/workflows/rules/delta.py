"""A decision as data: what it starts, ends, stops and writes."""

from __future__ import annotations

from typing import Any

import msgspec

from klassd.workflows.model.run import NodeRow, RunPatch
from klassd.workflows.model.states import Cause

TaskId = tuple[str, int, int]  # node, index, attempt


class Start(msgspec.Struct, frozen=True):
    """A new attempt. ``not_before``: seconds since the epoch; 0: now."""

    node: str
    index: int
    attempt: int
    not_before: float
    memory: str | None = None  # request/limit that it asks for; None: what the layers say


class TaskResult(msgspec.Struct, frozen=True):
    """What the end of an attempt means for its task: ``event`` is one of ``lifecycle.TASK``."""

    node: str
    index: int
    attempt: int
    event: str
    output: Any = None
    outputs: dict[str, Any] = {}
    error: str | None = None
    cause: Cause | None = None  # of a failure, for good or until the next attempt
    memory: str | None = None  # that it had or had asked for


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What one event changes. ``RunState.apply`` takes it into memory, the engine into the store."""

    run: RunPatch | None = None
    nodes: tuple[NodeRow, ...] = ()
    started: tuple[Start, ...] = ()
    stop: tuple[TaskId, ...] = ()
    ended: TaskResult | None = None

    @property
    def empty(self) -> bool:
        return not (self.run or self.nodes or self.started or self.stop or self.ended)

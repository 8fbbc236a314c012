"""Queries and pages of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from klassd.workflows.model.states import ExecutionStatus, RunStatus

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    items: Sequence[T]
    next: str | None = None  # pass it as ``after`` for the next page; None: this was the last


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    statuses: tuple[RunStatus, ...] = ()  # empty: all
    name: str | None = None
    tenant: str | None = None
    tag: str | None = None
    limit: int = 50
    after: str | None = None


class ExecutionQuery(msgspec.Struct, frozen=True, kw_only=True):
    run_id: str
    node: str | None = None
    statuses: tuple[ExecutionStatus, ...] = ()
    limit: int = 200
    after: str | None = None


class Counts(msgspec.Struct, frozen=True):
    """Number of runs by name, then by status."""

    by_name: dict[str, dict[RunStatus, int]]

    def total(self, status: RunStatus) -> int:
        return sum(of.get(status, 0) for of in self.by_name.values())

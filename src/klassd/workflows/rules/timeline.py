"""What an execution spent its time with: its row, cut into steps that follow each other without a hole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from klassd.workflows.model.run import Execution, Run

Name = Literal["backoff", "queue", "schedule", "init", "pull", "start", "boot", "import", "run", "outputs", "end"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    name: Name
    begin: float
    end: float | None = None  # None: it lasts
    vague: bool = False  # one of the two is known to the second only, cut off

    def seconds(self, now: float) -> float:
        return max(0.0, (now if self.end is None else self.end) - self.begin)


def timeline(execution: Execution, since: float | None = None) -> list[Step]:
    """In order, from its creation on, or ``since`` it could have been begun. A time before the one that caused it counts as the
    same: clocks differ, and Kubernetes cuts off what is less than a second."""
    steps: list[Step] = []
    begin, vague = execution.created_at if since is None else min(since, execution.created_at), False
    for name, at in _reached(execution):
        end, before, vague = max(begin, at), vague, at.is_integer()
        steps.append(Step(name=name, begin=begin, end=end, vague=before or vague))
        begin = end
    if last := _last(execution):
        end_at = execution.finished_at
        steps.append(Step(name=last, begin=begin, end=None if end_at is None else max(begin, end_at), vague=vague))
    return steps


def _reached(execution: Execution) -> Iterator[tuple[Name, float]]:
    """What is over, and when."""
    phases, finished = execution.phases, execution.finished_at
    due = execution.not_before if execution.not_before > execution.created_at else None
    marks: tuple[tuple[Name, float | None], ...] = (
        ("backoff", due if execution.launched_at is not None else None),
        ("queue", execution.launched_at),
        ("schedule", phases.scheduled),
        ("init", phases.initialized),
        ("pull", phases.pulled),
        ("start", phases.process or execution.started_at or phases.container),
        ("boot", execution.started_at if phases.process else None),
        ("import", phases.imported),
        ("run", phases.returned),
        ("outputs" if execution.status == "succeeded" else "end", finished if phases.returned else None),
    )
    yield from ((name, at) for name, at in marks if at is not None)


def _last(execution: Execution) -> Name | None:
    """The step that was not over, or is not: whatever ended the execution did so there."""
    phases = execution.phases
    if phases.returned is not None:
        return None if execution.finished_at is not None else "outputs"
    if execution.started_at is not None:
        return "run"
    if phases.process is not None or phases.container is not None:
        return "boot"
    if execution.launched_at is None:
        return "queue"
    return "schedule" if "pod" in execution.located and phases.scheduled is None else "start"


def begun_late(run: Run, execution: Execution) -> float | None:
    """Since when an execution that waits for nothing but a scheduler could have been begun."""
    return max(run.created_at, run.not_before) if run.kind == "job" and execution.attempt == 1 else None

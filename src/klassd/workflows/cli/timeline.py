"""What an execution spent its time with, drawn: a step a line, each bar beginning where the one before ends."""

from __future__ import annotations

from collections.abc import Iterator

from klassd.workflows.cli.style import CYAN, DIM, GREEN, RED, YELLOW, Paint, clock_time, duration
from klassd.workflows.model.run import Execution, Run
from klassd.workflows.rules.timeline import Step, begun_late, timeline

NAMES, TIMES, LENGTHS = 11, 12, 13  # columns; the longest lengths are '~59 min 59 s'
WIDEST = 60  # columns of all bars together
_WORK = ("run", "outputs")  # what was asked for; all else is the way there


class Timeline:
    def __init__(self, run: Run, execution: Execution, paint: Paint, now: float, width: int) -> None:
        self._execution, self._paint, self._now = execution, paint, now
        self._steps = timeline(execution, begun_late(run, execution))
        self._begin = self._steps[0].begin
        self._total = max(1e-6, (self._steps[-1].end or now) - self._begin)
        self._width = max(8, min(WIDEST, width - NAMES - TIMES - LENGTHS - 4))

    def lines(self) -> Iterator[str]:
        for name, value in self._execution.located.items():
            yield f"{name:<{NAMES}}{value}"
        for step in self._steps:
            yield self._line(step)
            first_line = self._execution.phases.first_line
            if step.name == "run" and first_line is not None:
                yield self._first_line(first_line, step)

    def _line(self, step: Step) -> str:
        length = _length(step, self._now)
        time = self._paint(clock_time(step.begin), DIM)
        bar = self._paint(self._bar(step), self._colour(step))
        return f"{step.name:<{NAMES}}{time}{length:>{LENGTHS}}  {bar}".rstrip()

    def _first_line(self, at: float, run: Step) -> str:
        """Within ``run``."""
        place = min(self._column(at), self._column(run.end or self._now) - 1)
        words = self._paint(f"{'first line':<{NAMES}}{clock_time(at)}", DIM)
        return f"{words}{duration(at - run.begin):>{LENGTHS}}  {' ' * place}{self._paint('╵', DIM)}"

    def _bar(self, step: Step) -> str:
        """A thin mark where it is too short for its scale."""
        begin, end = self._column(step.begin), self._column(step.end or self._now)
        bar = "━" * (end - begin) or "╸"
        return " " * min(begin, self._width - 1) + bar + ("┅" if step.end is None else "")

    def _column(self, at: float) -> int:
        return round(self._width * min(1.0, max(0.0, (at - self._begin) / self._total)))

    def _colour(self, step: Step) -> str:
        if step.name in _WORK:
            return {"failed": RED, "succeeded": GREEN}.get(self._execution.status, CYAN)
        return YELLOW if step.end is None else DIM


def _length(step: Step, now: float) -> str:
    seconds = step.seconds(now)
    if not step.vague:
        return duration(seconds)
    return "<1 s" if seconds < 1 else f"~{duration(seconds)}"

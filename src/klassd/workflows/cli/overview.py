"""What all runs of a store are doing: starts, ends and a view of those under way. Behind ``klassd dev``."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from klassd.workflows.cli.document import emit, run_head
from klassd.workflows.cli.follow import rest_after
from klassd.workflows.cli.lines import Labels
from klassd.workflows.cli.style import BOLD, DIM, Paint, clock_time, duration, is_terminal, paint_for
from klassd.workflows.cli.words import failures
from klassd.workflows.client import Client, RunView
from klassd.workflows.model.page import RunQuery
from klassd.workflows.model.run import Run
from klassd.workflows.model.states import RunStatus
from klassd.workflows.ports import Clock

NEWEST = 200  # runs looked at for starts and ends
ENDS = 20  # told one by one at a look; more are summed up
DETAILED = 6  # runs under way whose nodes are shown
REMEMBERED = 10_000  # runs whose end was told
_UNDER_WAY = (RunStatus.RUNNING, RunStatus.CANCELLING)
FINAL = tuple(status for status in RunStatus if status.final)
Totals = Mapping[RunStatus, int]


class View(Protocol):
    def say(self, lines: list[str]) -> None: ...
    def began(self, run: Run) -> None: ...
    def ended(self, view: RunView) -> None: ...
    def more_ended(self, count: int) -> None: ...
    def seen(self, under_way: list[RunView], more: int, totals: Totals) -> None: ...


class Overview:
    """Looks whenever the store hints at a change; tells each run's start and end once."""

    def __init__(self, client: Client, view: View, clock: Clock) -> None:
        self._client, self._view, self._clock = client, view, clock
        self._under_way: dict[str, Run] = {}
        self._told: OrderedDict[str, None] = OrderedDict()
        self._ended_before = 0

    async def keep_up(self) -> None:
        await self._begin()
        async for _ in self._client.changes():
            before = self._clock.monotonic()
            await self._look()
            await asyncio.sleep(rest_after(self._clock.monotonic() - before))

    async def _begin(self) -> None:
        """What had ended before is history."""
        for run in (await self._client.runs(RunQuery(statuses=FINAL, limit=NEWEST))).items:
            self._remember(run)
        self._ended_before = _ended(await self._totals())

    async def _look(self) -> None:
        newest = (await self._client.runs(RunQuery(limit=NEWEST))).items
        under_way = (await self._client.runs(RunQuery(statuses=_UNDER_WAY, limit=NEWEST))).items
        totals = await self._totals()
        await self._tell_ends([*newest, *await self._gone({run.id for run in under_way})], totals)
        for run in reversed(under_way):
            if run.id not in self._under_way:
                self._view.began(run)
        self._under_way = {run.id: run for run in under_way}
        views = [await self._client.view(run.id) for run in under_way[:DETAILED]]
        self._view.seen(views, len(under_way) - len(views), totals)

    async def _gone(self, still: set[str]) -> list[Run]:
        """Runs that were under way and are not any more."""
        return [
            await self._client.run(run_id) for run_id in self._under_way if run_id not in still and run_id not in self._told
        ]

    async def _tell_ends(self, runs: list[Run], totals: Totals) -> None:
        fresh = {run.id: run for run in runs if run.status.final and run.id not in self._told}
        in_order = sorted(fresh.values(), key=lambda run: run.finished_at or 0.0)
        for run in in_order:
            self._remember(run)
        for run in in_order[:ENDS]:
            self._view.ended(await self._client.view(run.id))
        ended = _ended(totals)
        more = max(len(in_order), ended - self._ended_before) - min(len(in_order), ENDS)
        self._ended_before = ended
        if more > 0:
            self._view.more_ended(more)

    def _remember(self, run: Run) -> None:
        self._told[run.id] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    async def _totals(self) -> Counter[RunStatus]:
        totals: Counter[RunStatus] = Counter()
        for of in (await self._client.counts()).by_name.values():
            totals.update(of)
        return totals


def _ended(totals: Totals) -> int:
    return sum(totals.get(status, 0) for status in FINAL)


def counted(totals: Totals) -> str:
    return "  ".join(f"{status} {totals[status]}" for status in RunStatus if totals.get(status))


class PlainView:
    """A line for every start and end: for log files and pipes."""

    def __init__(self, paint: Paint) -> None:
        self.paint = paint

    def say(self, lines: list[str]) -> None:
        print("\n".join(lines), flush=True)

    def began(self, run: Run) -> None:
        self.say([f"{clock_time(run.started_at or run.created_at)} {self.paint.state(run.status)} {_name(run)} {run.id}"])

    def ended(self, view: RunView) -> None:
        self.say(self.end_lines(view))

    def more_ended(self, count: int) -> None:
        self.say([self.paint(f"             and {count} more ended", DIM)])

    def seen(self, under_way: list[RunView], more: int, totals: Totals) -> None: ...

    def end_lines(self, view: RunView) -> list[str]:
        run, paint = view.run, self.paint
        passed = duration((run.finished_at or 0.0) - (run.started_at or run.created_at))
        time = paint(clock_time(run.finished_at or run.created_at), DIM)
        line = f"{time} {paint.state(run.status)} {paint(_name(run), BOLD)} in {passed}  {paint(run.id, DIM)}"
        more = failures(view, paint, Labels(view.definition, paint)) if run.status is RunStatus.FAILED else []
        return [line, *more]


class JsonView(PlainView):
    def say(self, lines: list[str]) -> None:
        print("\n".join(lines), file=sys.stderr, flush=True)

    def began(self, run: Run) -> None:
        emit({"event": "began", "run": run_head(run)})

    def ended(self, view: RunView) -> None:
        emit({"event": "ended", "run": run_head(view.run)})

    def more_ended(self, count: int) -> None:
        emit({"event": "more_ended", "count": count})


def _name(run: Run) -> str:
    return run.name.rpartition(":")[2] if run.kind == "job" else run.name


@contextmanager
def view_for(as_json: bool) -> Iterator[View]:
    if as_json:
        yield JsonView(paint_for(sys.stderr))
    elif not is_terminal(sys.stdout):
        yield PlainView(paint_for())
    else:
        from klassd.workflows.cli.live_overview import live_view

        with live_view(sys.stdout) as view:
            yield view

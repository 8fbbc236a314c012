"""The live view of ``klassd dev``: ends scroll by above, what is under way is drawn in place below."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.text import Text

from klassd.workflows.cli.lines import Labels
from klassd.workflows.cli.live import FRAME, Region, Row, grid, run_rows
from klassd.workflows.cli.overview import PlainView, Totals, counted
from klassd.workflows.cli.style import BOLD, DIM, paint_for
from klassd.workflows.client import RunView
from klassd.workflows.model.run import Run
from klassd.workflows.ports import Clock
from klassd.workflows.system import SystemClock


class LiveView(PlainView):
    def __init__(self, stream: TextIO, region: Region, clock: Clock) -> None:
        super().__init__(paint_for(stream))
        self._region, self._clock = region, clock
        self._under_way: list[RunView] = []
        self._more = 0
        self._totals: Totals = {}
        self._spinner = Spinner("dots")

    def say(self, lines: list[str]) -> None:
        self._region.print("\n".join(lines))

    def began(self, run: Run) -> None:
        """It is drawn in place."""

    def seen(self, under_way: list[RunView], more: int, totals: Totals) -> None:
        self._under_way, self._more, self._totals = under_way, more, totals
        self.draw()

    def draw(self) -> None:
        """Also between looks, so that time goes on."""
        shown: list[RenderableType] = [Text("")]
        if rows := self._rows():
            shown += [grid(rows, self._spinner, self._clock.monotonic(), self.paint), Text("")]
        self._region.draw(Group(*shown, Text(counted(self._totals) or "nothing enqueued yet", style="dim")))

    def _rows(self) -> list[Row]:
        """The oldest runs first; nodes of the others make room for runs."""
        room, rows = self._region.rows, list[Row]()
        for view in reversed(self._under_way):
            rows += _run_rows(view, self._clock.now(), max(0, room - len(rows)), self._labels(view))
        if self._more:
            rows.append(("", DIM, Text(f"and {self._more} more runs", style="dim"), "", None))
        return rows

    def _labels(self, view: RunView) -> Labels:
        return Labels(view.definition, self.paint)


def _run_rows(view: RunView, now: float, room: int, labels: Labels) -> list[Row]:
    run = view.run
    if run.kind == "job" and room > 0:
        return [(label, BOLD, bar, text or run.id, passed) for label, _, bar, text, passed in run_rows(view, labels, now, room)]
    head: Row = (run.name, BOLD, Text(run.id, style="dim"), "", now - run.started_at if run.started_at else None)
    nodes = run_rows(view, labels, now, room - 1) if room > 1 else []
    return [head, *((f"  {label}", code, bar, text, passed) for label, code, bar, text, passed in nodes)]


@contextmanager
def live_view(stream: TextIO) -> Iterator[LiveView]:
    with Region(stream) as region:
        view = LiveView(stream, region, SystemClock())
        drawing = asyncio.get_running_loop().create_task(_draw(view))
        try:
            yield view
        finally:
            drawing.cancel()


async def _draw(view: LiveView) -> None:
    while True:
        view.draw()
        await asyncio.sleep(FRAME)

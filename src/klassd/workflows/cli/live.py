"""The live region at the foot of a terminal: running nodes and their bars, drawn in place, gone when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console as Terminal
from rich.console import ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from klassd.workflows.cli.consoles import Console
from klassd.workflows.cli.lines import Labels
from klassd.workflows.cli.style import Paint, duration
from klassd.workflows.cli.text import harmless, shorten
from klassd.workflows.cli.words import node_took, took
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.ports import Clock
from klassd.workflows.rules.services import UP

BAR = 28  # columns
CALM = 0.5  # seconds an item of a fan-out runs before it gets a row of its own: thousands of short ones would flicker
FRAME = 0.1  # seconds between drawings
ROWS = 12  # at most, and never more than a third of the screen
_LIVE = (ExecutionStatus.STARTING, ExecutionStatus.RUNNING, ExecutionStatus.READY, ExecutionStatus.STOPPING)


class _Ready:
    """Text that has its colours already. Parsing it into styles and back would cost 70 microseconds a line."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Terminal, options: ConsoleOptions) -> Iterator[Segment]:
        yield Segment(self._text + "\n")


class Region:
    """Owns the foot of the terminal while inside ``with``. Lines printed go above it."""

    def __init__(self, stream: TextIO) -> None:
        self.terminal = Terminal(file=stream, markup=False, highlight=False, emoji=False)
        self._live = Live(
            console=self.terminal, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Region:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def print(self, text: str) -> None:
        self.terminal.print(_Ready(text), soft_wrap=True)

    def draw(self, shown: RenderableType) -> None:
        self._live.update(shown, refresh=True)

    @property
    def rows(self) -> int:
        return max(2, min(ROWS, self.terminal.height // 3))


class LiveConsole(Console):
    """A run's console on a terminal: lines scroll, bars stay at the foot."""

    def __init__(self, definition: Definition, stream: TextIO, region: Region, clock: Clock) -> None:
        super().__init__(definition, stream, aligned=True)
        self._region, self._clock = region, clock
        self._view: RunView | None = None
        self._spinner = Spinner("dots")

    def put(self, text: str) -> None:
        self._region.print(text.removesuffix("\n"))

    def seen(self, view: RunView) -> None:
        self._view = view
        self.draw()

    def draw(self) -> None:
        """Also between looks, so that time goes on."""
        if self._view is None or self._view.run.status.final:
            self._region.draw("")
            return
        rows = run_rows(self._view, self.labels, self._clock.now(), self._region.rows)
        self._region.draw(Group(grid(rows, self._spinner, self._clock.monotonic(), self.paint), Text("")) if rows else "")


Row = tuple[str, str, RenderableType, str, float | None]  # label, colour code, bar or word, message, seconds


def run_rows(view: RunView, labels: Labels, now: float, most: int) -> list[Row]:
    """The running nodes of a run, a row for each bar; what does not fit is counted in the last one."""
    rows = [row for node in view.nodes if node.status in UP for row in _node_rows(node, labels, now)]
    most = max(1, most)
    if len(rows) <= most:
        return rows
    return [*rows[: most - 1], ("", "2", Text(""), f"and {len(rows) - most + 1} more", None)]


def _node_rows(node: NodeView, labels: Labels, now: float) -> Iterator[Row]:
    running = [each for each in node.latest if each.status in _LIVE]
    if node.items is not None:
        yield _fan_out_row(node, labels, len(running), now)
        running = [each for each in running if each.progress and (took(each, now) or 0.0) > CALM]
    elif not running:
        yield from (_waiting_row(node, each, labels, now) for each in node.latest if not each.status.final)
    for each in running:
        yield from _execution_rows(node, each, labels, now)


def _fan_out_row(node: NodeView, labels: Labels, running: int, now: float) -> Row:
    items = node.items or 0
    done = sum(each.status.final for each in node.latest)
    bar = ProgressBar(total=max(1, items), completed=done, width=BAR)
    return (
        labels.name(node.name),
        labels.colour(node.name),
        bar,
        f"{done}/{items} items, {running} running",
        node_took(node, now),
    )


def _waiting_row(node: NodeView, execution: Execution, labels: Labels, now: float) -> Row:
    wait = execution.not_before - now
    word = f"attempt {execution.attempt} in {duration(wait)}" if wait > 0 else "waiting for a free slot"
    return labels.name(node.name, execution.index), labels.colour(node.name), Text(word, style="dim"), "", None


def _execution_rows(node: NodeView, execution: Execution, labels: Labels, now: float) -> Iterator[Row]:
    label, colour = labels.name(node.name, execution.index), labels.colour(node.name)
    note = harmless(execution.waiting or "", colours=False)
    if execution.status is ExecutionStatus.READY and node.address and not note:
        note = f"at {node.address}"
    if not execution.progress or note:
        yield label, colour, Text(str(execution.status), style="dim"), note, took(execution, now)
    for name, bar in sorted(execution.progress.items()):
        yield label, colour, _bar(bar), _bar_text(name, bar), took(execution, now)


def _bar(bar: dict[str, Any]) -> ProgressBar:
    total = bar.get("of")
    return _progress_bar(total or None, min(bar.get("at") or 0, total or 0))


def _progress_bar(total: float | None, done: float) -> ProgressBar:
    """Colours of the terminal's own theme, so that it can be seen on light and dark; no red, which means failed."""
    return ProgressBar(
        total=total,
        completed=done,
        width=BAR,
        pulse=not total,
        style="bright_black",
        complete_style="cyan",
        finished_style="green",
        pulse_style="cyan",
    )


def _bar_text(name: str, bar: dict[str, Any]) -> str:
    at, total = bar.get("at") or 0, bar.get("of")
    count = f"{100 * at / total:3.0f}%" if total else f"{at:g}"
    text = shorten(harmless(str(bar.get("text") or ""), colours=False), 40)
    return "  ".join(part for part in (count, name, text) if part)


def grid(rows: list[Row], spinner: Spinner, at: float, paint: Paint) -> Table:
    """Rows in columns; colours of nodes as in their lines."""
    table = Table.grid(padding=(0, 1))
    for _ in range(5):
        table.add_column(no_wrap=True)
    frame = spinner.render(at)
    for label, code, bar, message, seconds in rows:
        shown = Text.from_ansi(paint(shorten(label, 28), code))
        table.add_row(frame, shown, bar, Text(message), Text(duration(seconds), style="dim"))
    return table

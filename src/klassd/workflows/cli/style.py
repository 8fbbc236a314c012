"""How things look: words, numbers, symbols and colours, the same in every command."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from klassd.workflows.cli.text import shorten

BOLD, DIM, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = "1", "2", "31", "32", "33", "34", "35", "36"

# A symbol and a colour for every state of a run, node or execution. The word always stands beside it: colour never tells alone.
STATES: dict[str, tuple[str, str]] = {
    "queued": ("○", DIM),
    "pending": ("○", DIM),
    "starting": ("●", CYAN),
    "running": ("●", CYAN),
    "ready": ("●", GREEN),
    "stopping": ("◌", YELLOW),
    "cancelling": ("◌", YELLOW),
    "succeeded": ("✓", GREEN),
    "failed": ("✗", RED),
    "cancelled": ("■", YELLOW),
    "stopped": ("■", YELLOW),
    "skipped": ("↷", DIM),
    "omitted": ("–", DIM),
}

# By position in the workflow: neighbours differ, and the same workflow looks the same every time. No red: that means failed.
NODE_COLOURS = (CYAN, MAGENTA, YELLOW, BLUE, GREEN, "96", "95", "93", "94", "92")


def colourful(stream: TextIO) -> bool:
    """Whether colours belong on ``stream``: a terminal that can, and nobody objects (NO_COLOR)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream)


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Paint:
    """``paint("text", BOLD, RED)``; without colours the text itself."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.on and text and codes else text

    def state(self, status: str) -> str:
        symbol, colour = STATES.get(status, ("?", DIM))
        return self(f"{symbol} {status}", colour)

    def symbol(self, status: str) -> str:
        symbol, colour = STATES.get(status, ("?", DIM))
        return self(symbol, colour)


def paint_for(stream: TextIO | None = None) -> Paint:
    return Paint(colourful(stream or sys.stdout))


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ago(then: float, now: float) -> str:
    passed = max(0.0, now - then)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{int(passed // size)} {unit} ago"
    return f"{int(passed)} s ago"


def clock_time(at: float) -> str:
    """Local time of day, as in the console of a job."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]


def iso(at: float | None) -> str | None:
    """UTC, for machines."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def cells(text: str) -> int:
    """Columns that plain text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], paint: Paint, codes: Sequence[tuple[str, ...]] = (), most: int = 48
) -> list[str]:
    """Aligned lines. ``codes``: colours of the rows' cells, one tuple a column; a cell is cut at ``most`` columns."""
    cut = [[shorten(cell, most) for cell in row] for row in rows]
    widths = [max(cells(row[i]) for row in [head, *cut]) for i in range(len(head))]
    codes = codes or [() for _ in head]
    lines = [_table_line(head, widths, paint, [(DIM,)] * len(head))]
    return lines + [
        _table_line(row, widths, paint, [_cell_codes(c, k) for c, k in zip(row, codes, strict=True)]) for row in cut
    ]


def _cell_codes(cell: str, codes: tuple[str, ...]) -> tuple[str, ...]:
    """A cell that is a state brings its own colour."""
    _, _, word = cell.partition(" ")
    return (STATES[word][1],) if word in STATES and cell == f"{STATES[word][0]} {word}" else codes


def _table_line(row: Sequence[str], widths: Sequence[int], paint: Paint, codes: Sequence[tuple[str, ...]]) -> str:
    padded = [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)]
    padded[-1] = row[-1]
    return "  ".join(paint(cell, *code) for cell, code in zip(padded, codes, strict=True)).rstrip()

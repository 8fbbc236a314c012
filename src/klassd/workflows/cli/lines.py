"""Lines of consoles as people read them, and the labels in front of them."""

from __future__ import annotations

from klassd.workflows.cli.style import BOLD, DIM, NODE_COLOURS, RED, YELLOW, Paint, clock_time, size
from klassd.workflows.cli.text import harmless
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.workflow import Definition

_LEVELS = ((40, "error", RED), (30, "warning", YELLOW))


class Labels:
    """Which node speaks: its name, with ``#item`` in a fan-out, always in the same colour."""

    def __init__(self, definition: Definition, paint: Paint) -> None:
        self._paint = paint
        self._mapped = {node.name for node in definition.nodes if node.mapped}
        self._alone = definition.kind == "job"
        self._colours = {node.name: NODE_COLOURS[i % len(NODE_COLOURS)] for i, node in enumerate(definition.nodes)}
        # names of fan-outs grow by their index; the first hundred items stay aligned
        widths = [len(self.name(node.name, 10)) for node in definition.nodes]
        self._width = min(28, max(widths, default=0))

    def name(self, node: str, index: int | None = None) -> str:
        """As it is typed after ``--node``; a plain job is called by its class."""
        if self._alone:
            return node.rpartition(":")[2]
        return f"{node}#{index}" if index is not None and node in self._mapped else node

    def colour(self, node: str) -> str:
        return self._colours.get(node, DIM)

    def prefix(self, node: str, index: int | None, aligned: bool) -> str:
        name = self.name(node, index)
        if aligned:
            return self._paint(f"{name:<{self._width}} │ ", self.colour(node))
        return self._paint(f"[{name}] ", self.colour(node))


class Lines:
    """The text of lines, without what is in front. Of a record of several lines only the first says its level."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._last: dict[str, LogLine] = {}  # by execution

    def text(self, execution_id: str, line: LogLine) -> str:
        before, self._last[execution_id] = self._last.get(execution_id), line
        return line_text(line, self._paint, continued=before is not None and _same_record(before, line))


def _same_record(before: LogLine, line: LogLine) -> bool:
    return line.stream == "log" and _record(line, 1) == _record(before, 0)


def _record(line: LogLine, place: int) -> tuple[object, ...]:
    """What all lines of a record have in common."""
    return line.time, line.level, line.logger, line.stream, line.number - place


def line_text(line: LogLine, paint: Paint, continued: bool = False) -> str:
    """Markers say in words what is missing. ``continued``: the line before was of the same record."""
    if line.missing:
        return paint(f"… {line.missing} line{'s' * (line.missing > 1)} missing here ({_range(line)})", DIM, YELLOW)
    if line.cut_bytes:
        return paint(f"… {size(line.cut_bytes)} left out here: the console reached its limit", DIM, YELLOW)
    text = harmless(line.text, paint.on)
    if 0 < line.level < 20 and "\x1b" not in text:
        return paint(text, DIM)
    word = "" if continued else _level(line, paint)
    return f"{word} {text}" if word else text


def _level(line: LogLine, paint: Paint) -> str:
    return next((paint(word, BOLD, colour) for level, word, colour in _LEVELS if line.level >= level), "")


def _range(line: LogLine) -> str:
    last = line.number + line.missing - 1
    return f"line {line.number}" if last == line.number else f"lines {line.number} to {last}"


def stamp(line: LogLine, paint: Paint) -> str:
    return paint(f"{line.number:>6} {clock_time(line.time)} ", DIM)

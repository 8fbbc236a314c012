"""Shows a run while it happens: ``Listener`` for pipes, plain and without control characters, and for terminals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from klassd.workflows.cli.lines import Labels, Lines
from klassd.workflows.cli.style import Paint, paint_for
from klassd.workflows.cli.words import attempt_ended, node_ended, summary
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution
from klassd.workflows.model.workflow import Definition


class Console:
    """``[node] text``, a line each. Goes mute when nobody reads any more: the run goes on to its end."""

    def __init__(self, definition: Definition, stream: TextIO, paint: Paint | None = None, aligned: bool = False) -> None:
        self.paint = paint or paint_for(stream)
        self.labels = Labels(definition, self.paint)
        self._lines = Lines(self.paint)
        self._stream = stream
        self._aligned = aligned
        self._told_by_node = definition.kind == "workflow"
        self._mute = False

    def lines(self, lines: list[tuple[Execution, LogLine]]) -> None:
        self.write([self._prefix(each.node, each.index) + self._lines.text(each.id, line) for each, line in lines])

    def execution_ended(self, view: RunView, node: NodeView, execution: Execution) -> None:
        if said := attempt_ended(node, execution, self.paint):
            self.write([self._prefix(node.name, execution.index) + said])

    def node_ended(self, view: RunView, node: NodeView) -> None:
        if self._told_by_node and (said := node_ended(view, node, self.paint)):
            self.write([self._prefix(node.name, None) + said])

    def seen(self, view: RunView) -> None:
        """Progress is for terminals: a pipe gets lines only."""

    def say(self, text: str) -> None:
        """A line of the command's own."""
        self.write([text])

    def end(self, view: RunView) -> None:
        self.write(summary(view, self.paint, self.labels))

    def write(self, lines: list[str]) -> None:
        if lines and not self._mute:
            self._mute = not _delivered(lambda: self.put("\n".join(lines) + "\n"))

    def put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _prefix(self, node: str, index: int | None) -> str:
        return self.labels.prefix(node, index, self._aligned)


def _delivered(write: Callable[[], None]) -> bool:
    try:
        write()
    except BrokenPipeError:
        return False
    return True

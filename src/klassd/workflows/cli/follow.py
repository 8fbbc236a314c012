"""Follows one run: its consoles line by line, and what becomes of its nodes.

Looks when the store hints at a change, but not more often than ``LEAST`` seconds, and rests longer after a look that took
long: the scheduler of ``klassd run`` lives on the same event loop and comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from klassd.workflows.client import Client, NodeView, RunView
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import ExecutionStatus, NodeStatus

LEAST = 0.05
MOST = 0.5
SHARE = 4  # rest so many times as long as the look took, up to MOST
LINES = 2000  # read at once


_Happened = tuple[Execution, LogLine] | Execution | NodeView


class Listener(Protocol):
    """Told in order: an execution's lines come before its end, its end before its node's."""

    def lines(self, lines: list[tuple[Execution, LogLine]]) -> None: ...
    def execution_ended(self, view: RunView, node: NodeView, execution: Execution) -> None: ...
    def node_ended(self, view: RunView, node: NodeView) -> None: ...
    def seen(self, view: RunView) -> None: ...


@dataclass(slots=True)
class Reader:
    """How far a console has been read. The last line may still be open: it is read again, and only what is new is given."""

    number: int = 0
    text: str = ""
    time: float = 0.0

    def take(self, lines: Iterable[LogLine]) -> list[LogLine]:
        fresh = []
        for line in lines:
            if line.number < self.number or (line.number == self.number and not self._grew(line)):
                continue
            if line.number == self.number:
                line, self.text = _rest(line, len(self.text)), line.text
            else:
                self.number, self.text = line.number + max(0, line.missing - 1), line.text
            self.time = line.time
            fresh.append(line)
        return fresh

    def _grew(self, line: LogLine) -> bool:
        return len(line.text) > len(self.text) and line.text.startswith(self.text)


def _rest(line: LogLine, start: int) -> LogLine:
    return LogLine(
        number=line.number, time=line.time, text=line.text[start:], stream=line.stream, level=line.level, logger=line.logger
    )


@dataclass(slots=True)
class Follower:
    client: Client
    run_id: str
    listener: Listener
    readers: dict[str, Reader] = field(default_factory=dict)  # by execution: how far each console is known already
    wanted: Callable[[Execution], bool] = lambda execution: True  # whose consoles are read
    enough: Callable[[RunView], bool] = lambda view: view.run.status.final
    _over: set[str] = field(default_factory=set)  # executions and nodes whose end was told

    async def until_end(self) -> RunView:
        """Returns once the run is final (or ``enough`` was seen) and all of it was told."""
        loop = asyncio.get_running_loop()
        async for _ in self.client.changes():
            before = loop.time()
            view = await self.look()
            if self.enough(view):
                return view
            await asyncio.sleep(rest_after(loop.time() - before))
        raise AssertionError("changes() never ends")

    async def look(self) -> RunView:
        view = await self.client.view(self.run_id)
        happened = [*await self._lines(view), *self._ends(view)]
        happened.sort(key=lambda each: each[0])
        for _, lines in groupby(happened, key=lambda each: isinstance(each[1], tuple)):
            self._tell(view, [each for _, each in lines])
        self.listener.seen(view)
        return view

    def _tell(self, view: RunView, happened: list[_Happened]) -> None:
        """Either lines, given together, or ends."""
        if lines := [each for each in happened if isinstance(each, tuple)]:
            self.listener.lines(lines)
        for each in happened:
            if isinstance(each, NodeView):
                self.listener.node_ended(view, each)
            elif isinstance(each, Execution):
                self.listener.execution_ended(view, _node_of(view, each), each)

    def _ends(self, view: RunView) -> Iterator[tuple[float, _Happened]]:
        """Executions and nodes that have ended since the last look. None ends before its last line, whatever the clocks say."""
        for node in view.nodes:
            last = node.row.finished_at or 0.0 if node.row else 0.0
            for each in node.executions:
                reader = self.readers.get(each.id)
                at = max(each.finished_at or 0.0, reader.time if reader else 0.0)
                last = max(last, at)
                if each.status.final and each.id not in self._over:
                    self._over.add(each.id)
                    self.readers.pop(each.id, None)
                    yield at, each
            if node.status.final and f"node {node.name}" not in self._over:
                self._over.add(f"node {node.name}")
                yield last, node

    async def _lines(self, view: RunView) -> list[tuple[float, _Happened]]:
        """What all consoles have to say since the last look."""
        fresh: list[tuple[float, _Happened]] = []
        for node in view.nodes:
            for execution in node.executions:
                if self._may_speak(execution):
                    fresh += [(line.time, (execution, line)) for line in await self._read(execution)]
        return fresh

    def _may_speak(self, execution: Execution) -> bool:
        if execution.id in self._over or execution.status is ExecutionStatus.QUEUED or not self.wanted(execution):
            return False
        return not (execution.status.final and execution.log_lines == 0)

    async def _read(self, execution: Execution) -> list[LogLine]:
        reader = self.readers.setdefault(execution.id, Reader())
        given: list[LogLine] = []
        while True:
            lines = await self.client.log(execution.id, max(1, reader.number), LINES)
            given += reader.take(lines)
            if len(lines) < LINES:
                return given


def rest_after(look: float) -> float:
    """Seconds to wait after a look that took ``look`` seconds."""
    return min(MOST, max(LEAST, SHARE * look))


def _node_of(view: RunView, execution: Execution) -> NodeView:
    return next(node for node in view.nodes if node.name == execution.node)


def tally(nodes: Iterable[NodeView]) -> dict[NodeStatus, int]:
    """Number of nodes by status, in the order they first appear."""
    counts: dict[NodeStatus, int] = {}
    for node in nodes:
        counts[node.status] = counts.get(node.status, 0) + 1
    return counts

"""Follows one run: its consoles line by line, and what becomes of its nodes.

Looks when the store hints at a change, but not more often than ``LEAST`` seconds and never for more than a fifth of the
time: the scheduler of ``klassd run`` lives on the same event loop and comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from klassd.workflows.client import Client, NodeView, RunView
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import ExecutionStatus, NodeStatus

LEAST = 0.05
SHARE = 4  # rest at least so many times as long as the look took
LINES = 2000  # read at once


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

    def take(self, lines: Iterable[LogLine]) -> list[LogLine]:
        fresh = []
        for line in lines:
            if line.number < self.number or (line.number == self.number and not self._grew(line)):
                continue
            if line.number == self.number:
                line, self.text = _rest(line, len(self.text)), line.text
            else:
                self.number, self.text = line.number + max(0, line.missing - 1), line.text
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
            await asyncio.sleep(max(LEAST, SHARE * (loop.time() - before)))
        raise AssertionError("changes() never ends")

    async def look(self) -> RunView:
        view = await self.client.view(self.run_id)
        ended = [
            (node, each) for node in view.nodes for each in node.executions if each.status.final and each.id not in self._over
        ]
        self.listener.lines(await self._fresh_lines(view))
        for node, execution in ended:
            self._over.add(execution.id)
            self.readers.pop(execution.id, None)
            self.listener.execution_ended(view, node, execution)
        for node in view.nodes:
            if node.status.final and f"node {node.name}" not in self._over:
                self._over.add(f"node {node.name}")
                self.listener.node_ended(view, node)
        self.listener.seen(view)
        return view

    async def _fresh_lines(self, view: RunView) -> list[tuple[Execution, LogLine]]:
        """Of all consoles, in the order they were written."""
        fresh: list[tuple[Execution, LogLine]] = []
        for node in view.nodes:
            for execution in node.executions:
                if self._may_speak(execution):
                    fresh += [(execution, line) for line in await self._read(execution)]
        return sorted(fresh, key=lambda each: each[1].time)

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


def tally(nodes: Iterable[NodeView]) -> dict[NodeStatus, int]:
    """Number of nodes by status, in the order they first appear."""
    counts: dict[NodeStatus, int] = {}
    for node in nodes:
        counts[node.status] = counts.get(node.status, 0) + 1
    return counts

"""``klassd logs``: the console of a run or of one execution."""

from __future__ import annotations

import asyncio
import heapq
import re
import sys
from argparse import Namespace
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from klassd.workflows.cli.document import emit, line_document
from klassd.workflows.cli.follow import Follower, Reader
from klassd.workflows.cli.lines import Labels, Lines, stamp
from klassd.workflows.cli.opening import reading_client
from klassd.workflows.cli.problems import OK, Problem, did_you_mean
from klassd.workflows.cli.style import DIM, Paint, paint_for
from klassd.workflows.client import Client, NodeView, RunView
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution

PAGE = 1000  # lines read at once
_EXECUTION_ID = re.compile(r"(.+?)-\d+-\d+-\d+")
_NODE = re.compile(r"(.*?)(?:#(\d+))?")


@dataclass(frozen=True)
class Wanted:
    """Whose consoles were asked for."""

    execution: str | None = None
    node: str | None = None
    index: int | None = None

    def __call__(self, execution: Execution) -> bool:
        if self.execution is not None:
            return execution.id == self.execution
        return self.node in (None, execution.node) and self.index in (None, execution.index)


def command(args: Namespace) -> int:
    asyncio.run(_logs(args))
    return OK


async def _logs(args: Namespace) -> None:
    async with reading_client(args) as client:
        run_id, execution_id = await _resolve(client, args.run)
        view = await client.view(run_id)
        wanted = _wanted(view, execution_id, args.node)
        printer = Printer(view, args, wanted)
        readers: dict[str, Reader] = {}
        async for execution, line in _history(client, view, wanted, args, readers):
            printer.lines([(execution, line)])
        if args.follow and not _over(view, wanted):
            await Follower(client, run_id, printer, readers, wanted, lambda seen: _over(seen, wanted)).until_end()


async def _resolve(client: Client, text: str) -> tuple[str, str | None]:
    """(run, execution or None)"""
    if _EXECUTION_ID.fullmatch(text):
        return (await client.execution(text)).run_id, text
    return await client.resolve_id(text), None


def _wanted(view: RunView, execution: str | None, node: str | None) -> Wanted:
    if execution or node is None:
        return Wanted(execution=execution)
    found = _NODE.fullmatch(node)
    assert found is not None
    name, index = node_named(view, found[1]).name, found[2]
    return Wanted(node=name, index=None if index is None else int(index))


def node_named(view: RunView, name: str) -> NodeView:
    """By its name, or by its class where the run is a plain job."""
    for node in view.nodes:
        if name in (node.name, node.name.rpartition(":")[2]):
            return node
    names = [node.name for node in view.nodes]
    raise Problem(f"{view.run.name} has no node named {name!r}", did_you_mean(name, names), f"nodes: {', '.join(names)}")


def _over(view: RunView, wanted: Wanted) -> bool:
    """Nothing more can come."""
    if view.run.status.final:
        return True
    asked = [each for node in view.nodes for each in node.executions if each.id == wanted.execution]
    return bool(asked) and asked[0].status.final


async def _history(
    client: Client, view: RunView, wanted: Wanted, args: Namespace, readers: dict[str, Reader]
) -> AsyncIterator[tuple[Execution, LogLine]]:
    """What is there already, of all consoles, in the order it was written. A console is opened when its first line may be
    next, so that a fan-out of thousands needs few at once."""
    begun = [each for node in view.nodes for each in node.executions if each.launched_at is not None and wanted(each)]
    waiting = deque(sorted(begun, key=lambda each: each.launched_at or 0.0))
    heap: list[tuple[float, int, LogLine, Execution, AsyncIterator[LogLine]]] = []
    opened = 0
    while waiting or heap:
        if waiting and (not heap or (waiting[0].launched_at or 0.0) <= heap[0][0]):
            execution = waiting.popleft()
            lines = _console(client, execution, args, readers.setdefault(execution.id, Reader()))
            opened += 1
            order = opened
        else:
            _, order, line, execution, lines = heapq.heappop(heap)
            yield execution, line
        async for line in lines:
            heapq.heappush(heap, (line.time, order, line, execution, lines))
            break


async def _console(client: Client, execution: Execution, args: Namespace, reader: Reader) -> AsyncIterator[LogLine]:
    first = args.first
    if args.tail and execution.status.final:
        first = max(first, execution.log_lines - args.tail + 1)
    reader.number = first - 1
    tail: deque[LogLine] = deque(maxlen=args.tail)
    while True:
        page = await client.log(execution.id, max(first, reader.number), PAGE)
        for line in reader.take(page):
            if args.tail:
                tail.append(line)
            else:
                yield line
        if len(page) < PAGE:
            break
    for line in tail:
        yield line


class Printer:
    """Prints lines and nothing else: what became of nodes is for ``klassd show``."""

    def __init__(self, view: RunView, args: Namespace, wanted: Wanted) -> None:
        self._paint = paint_for()
        self._labels = Labels(view.definition, self._paint)
        self._lines = Lines(self._paint)
        several = len(view.nodes) > 1 or view.nodes[0].node.mapped or args.follow or view.nodes[0].attempts > 1
        self._labelled = several and wanted.execution is None and view.run.kind == "workflow"
        self._attempts: dict[tuple[str, int], int] = {}  # the latest that spoke
        self._write = self._writer(args)

    def _writer(self, args: Namespace) -> Callable[[Execution, LogLine], None]:
        if args.json:
            return lambda execution, line: emit(line_document(execution, line))
        if args.raw:
            return _write_raw
        return lambda execution, line: self._write_line(execution, line, args.timestamps, self._paint)

    def lines(self, lines: list[tuple[Execution, LogLine]]) -> None:
        for execution, line in lines:
            self._write(execution, line)
        sys.stdout.flush()

    def _write_line(self, execution: Execution, line: LogLine, stamped: bool, paint: Paint) -> None:
        label = self._labels.prefix(execution.node, execution.index, aligned=paint.on) if self._labelled else ""
        if self._attempts.setdefault((execution.node, execution.index), 1) != execution.attempt:
            self._attempts[execution.node, execution.index] = execution.attempt
            sys.stdout.write(f"{label}{paint(f'── attempt {execution.attempt}', DIM)}\n")
        sys.stdout.write(f"{stamp(line, paint) if stamped else ''}{label}{self._lines.text(execution.id, line)}\n")

    def execution_ended(self, view: RunView, node: NodeView, execution: Execution) -> None: ...
    def node_ended(self, view: RunView, node: NodeView) -> None: ...
    def seen(self, view: RunView) -> None: ...


def _write_raw(execution: Execution, line: LogLine) -> None:
    if not (line.missing or line.cut_bytes):
        sys.stdout.write(line.text + "\n")

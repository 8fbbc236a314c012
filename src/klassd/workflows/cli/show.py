"""``klassd show``: a run as a page of text."""

from __future__ import annotations

import asyncio
import shutil
from argparse import Namespace
from collections.abc import Iterator, Mapping

import msgspec

from klassd.workflows.artifacts.referring import artifacts_in
from klassd.workflows.cli.document import emit, run_document
from klassd.workflows.cli.lines import Labels
from klassd.workflows.cli.logs import node_named
from klassd.workflows.cli.opening import reading_client
from klassd.workflows.cli.outside import Outside, look, puzzling
from klassd.workflows.cli.outside import lines as outside_lines
from klassd.workflows.cli.problems import OK, Problem
from klassd.workflows.cli.style import BOLD, DIM, RED, Paint, ago, clock_time, duration, paint_for
from klassd.workflows.cli.text import hanging, harmless
from klassd.workflows.cli.timeline import Timeline
from klassd.workflows.cli.waits import Waits
from klassd.workflows.cli.words import cause_text, memory_text, node_took, one_line, took, value_text, why_not_run
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import NodeStatus
from klassd.workflows.system import SystemClock

ITEMS = 5  # items of a fan-out that are shown unless its node is asked for: those that tell most


def command(args: Namespace) -> int:
    view, looked_after, outside = asyncio.run(_look(args))
    if args.json:
        emit(run_document(view, outside) | {"looked_after": looked_after})
    else:
        for line in Page(view, looked_after, outside, paint_for(), SystemClock().now(), args).lines():
            print(line)
    return OK


async def _look(args: Namespace) -> tuple[RunView, bool, dict[str, Outside]]:
    async with reading_client(args) as client:
        view = await client.view(await client.resolve_id(args.run))
        looked_after = await client.is_looked_after(view.run.id)
    if args.node:
        view.nodes = [_chosen(view, args.node)]
    shown = list(drawn(view, args.node is not None))
    shown = shown or [each for node in view.nodes for each in (node.latest if args.events else _puzzle(node))]
    return view, looked_after, await look(shown, args.events)


def _puzzle(node: NodeView) -> list[Execution]:
    """One of a node says enough: items of a fan-out mostly wait for the same."""
    return sorted(filter(puzzling, node.latest), key=_interest)[:1]


def _chosen(view: RunView, text: str) -> NodeView:
    """A node, or one item of it."""
    name, _, index = text.rpartition("#")
    if not name or not index.isdecimal():
        return node_named(view, text)
    node = node_named(view, name)
    executions = [each for each in node.executions if each.index == int(index)]
    if not executions:
        raise Problem(f"{name} has no item {index}", f"it has {node.items or 0} items, counted from 0")
    return msgspec.structs.replace(node, executions=executions)


def drawn(view: RunView, whole: bool) -> Iterator[Execution]:
    """Executions whose time is drawn: where there are few. ``whole``: one node was asked for."""
    if len(view.nodes) != 1:
        return
    (node,) = view.nodes
    if not node.node.mapped or len(node.latest) == 1:
        yield from node.executions if whole else node.latest


class Page:
    def __init__(
        self, view: RunView, looked_after: bool, outside: Mapping[str, Outside], paint: Paint, now: float, args: Namespace
    ) -> None:
        self._view, self._paint, self._now = view, paint, now
        self._whole, self._asked = args.node is not None, args.events
        self._outside, self._drawn = outside, {execution.id for execution in drawn(view, self._whole)}
        self._labels = Labels(view.definition, paint)
        self._waits = Waits(view, now, looked_after)
        self._width = max(60, shutil.get_terminal_size((120, 24)).columns)
        self._name_width = max((len(self._labels.name(node.name)) for node in view.nodes), default=0)

    def lines(self) -> Iterator[str]:
        yield from self._head()
        yield ""
        for node in self._view.nodes:
            yield from self._node(node)
        yield from self._more()

    def _more(self) -> Iterator[str]:
        """Where the rest is."""
        executions = [each for node in self._view.nodes for each in node.executions]
        if executions:
            yield ""
            yield self._paint(f"console    klassd logs {self._view.run.id}", DIM)
        if any(next(artifacts_in([each.output, each.outputs]), None) for each in executions):
            yield self._paint(f"artifacts  klassd artifacts {self._view.run.id}", DIM)
        commands = dict.fromkeys(command for each in self._outside.values() for command in each.commands[:1])
        for command in commands:
            yield self._paint(f"cluster    {command}", DIM)

    def _head(self) -> Iterator[str]:
        run, paint = self._view.run, self._paint
        passed = duration((run.finished_at or self._now) - run.started_at) if run.started_at else ""
        state = (
            f"{paint.state(run.status)}{f' in {passed}' if run.finished_at and passed else f' for {passed}' if passed else ''}"
        )
        yield f"{paint(run.name, BOLD)}  {state}  {paint(run.id, DIM)}"
        if waits := self._waits.of_run():
            yield f"  waits    {waits}"
        yield paint(f"  created  {clock_time(run.created_at)} ({ago(run.created_at, self._now)}){self._marks()}", DIM)
        if run.params:
            yield f"  inputs   {value_text(run.params, self._width - 11)}"
        if run.output is not None:
            yield f"  output   {value_text(run.output, self._width - 11)}"
        if run.error:
            yield f"  error    {paint(one_line(run.error), RED)}"

    def _marks(self) -> str:
        run = self._view.run
        marks = {
            "queue": "" if run.queue == "default" else run.queue,
            "priority": str(run.priority or ""),
            "tenant": run.tenant,
            "key": run.idempotency_key or "",
            "tags": ", ".join(run.tags),
            "rerun of": run.rerun_of or "",
        }
        return "".join(f"  {name} {value}" for name, value in marks.items() if value)

    def _node(self, node: NodeView) -> Iterator[str]:
        label = self._labels.name(node.name)
        paint = self._paint
        head = f"{paint.symbol(node.status)} {paint(f'{label:<{self._name_width}}', self._labels.colour(node.name))}"
        waits = "" if node.status in (NodeStatus.SKIPPED, NodeStatus.OMITTED) else self._waits.of_node(node)
        room = self._width - self._name_width - len(node.status) - 6
        if len(waits) <= room:
            yield f"{head}  {node.status}{self._node_facts(node, waits)}".rstrip()
        else:
            yield f"{head}  {node.status}"
            yield from (paint(line, DIM) for line in hanging("    waits  ", waits, self._width))
        if node.node.mapped:
            yield from self._items(node)
        else:
            yield from self._attempts(node, node.executions, indent="    ")

    def _node_facts(self, node: NodeView, waits: str) -> str:
        if node.status in (NodeStatus.SKIPPED, NodeStatus.OMITTED):
            return self._paint(f": {why_not_run(self._view, node)}", DIM)
        if waits:
            return self._paint(f": {waits}", DIM)
        passed = duration(node_took(node, self._now))
        where = f" at {node.address}" if node.address and not node.status.final else ""
        items = f", {node.items} items" if node.items is not None else ""
        attempts = f", {node.attempts} attempts" if node.attempts > 1 and not node.node.mapped else ""
        time = f" {'in' if node.status.final else 'for'} {passed}" if passed else ""
        return self._paint(f"{where}{time}{items}{attempts}", DIM)

    def _items(self, node: NodeView) -> Iterator[str]:
        latest = node.latest
        chosen = latest if self._whole else sorted(latest, key=_interest)[:ITEMS]
        for last in sorted(chosen, key=lambda each: each.index):
            attempts = [each for each in node.executions if each.index == last.index]
            yield f"    {self._paint(f'#{last.index}', self._labels.colour(node.name))} {self._line(last)}"
            yield from self._attempts(node, attempts, indent="      ", said=last)
        if len(latest) > len(chosen):
            rest = len(latest) - len(chosen)
            yield self._paint(f"    and {rest} more: klassd show {self._view.run.id} --node {node.name}", DIM)

    def _attempts(self, node: NodeView, attempts: list[Execution], indent: str, said: Execution | None = None) -> Iterator[str]:
        if len(attempts) > 1:
            for each in attempts:
                yield f"{indent}attempt {each.attempt} {self._line(each)}"
                yield from self._detail(each, indent + "  ")
        elif attempts and said is None:
            line = self._line(attempts[0], brief=True)
            if line:
                yield f"{indent}{line}"
        if len(attempts) == 1:
            yield from self._detail(attempts[0], indent + "  ")

    def _line(self, execution: Execution, brief: bool = False) -> str:
        """State, time and what came of it; ``brief`` where the state stands above already."""
        parts = [] if brief else [self._paint.state(execution.status), self._paint(duration(took(execution, self._now)), DIM)]
        if execution.status == "succeeded":
            parts.append(value_text(execution.output, self._width - 24) if execution.output is not None else "")
        elif execution.status.final:
            parts.append(self._paint(cause_text(execution), RED if execution.status == "failed" else DIM))
        elif execution.waiting and execution.started_at is not None:  # that nobody can see it; before, its node tells what for
            parts.append(self._paint(one_line(harmless(execution.waiting, colours=False)), DIM))
        parts.append(self._paint(memory_text(execution), DIM))
        return "  ".join(part for part in parts if part)

    def _detail(self, execution: Execution, indent: str) -> Iterator[str]:
        for name, value in execution.outputs.items():
            yield f"{indent}{name} = {value_text(value, self._width - 24)}"
        for warning in execution.warnings:
            yield f"{indent}{self._paint(f'warning: {one_line(warning)}', DIM)}"
        if self._whole and execution.detail:
            for line in execution.detail.rstrip().splitlines():
                yield f"{indent}{self._paint(harmless(line, colours=False), DIM)}"
        yield from self._course(execution, indent)

    def _course(self, execution: Execution, indent: str) -> Iterator[str]:
        """Where it was and what took its time, and what its cluster says."""
        width = self._width - len(indent)
        if execution.id in self._drawn:
            yield from (
                f"{indent}{line}" for line in Timeline(self._view.run, execution, self._paint, self._now, width).lines()
            )
        if outside := self._outside.get(execution.id):
            yield from (f"{indent}{line}" for line in outside_lines(execution, outside, self._paint, width, self._asked))


def _interest(execution: Execution) -> tuple[int, int]:
    """Failed items first, then those still under way."""
    return (0 if execution.status == "failed" else 2 if execution.status.final else 1), execution.index

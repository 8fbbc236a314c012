"""What became of a run, its nodes and their attempts, in words."""

from __future__ import annotations

import json
from typing import Any

from klassd.workflows.artifacts.referring import artifacts_in, is_artifact
from klassd.workflows.cli.follow import tally
from klassd.workflows.cli.lines import Labels
from klassd.workflows.cli.style import BOLD, DIM, RED, Paint, duration, size
from klassd.workflows.cli.text import harmless, shorten
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, NodeStatus, RunStatus
from klassd.workflows.quantities import sides

_TRACEBACK = "Traceback (most recent call last):"
SHOWN_FAILURES = 5


def value_text(value: Any, width: int = 100) -> str:
    """JSON on one line, shortened; artifacts by name and size."""
    return shorten(harmless(_compact(value), colours=False), width)


def _compact(value: Any) -> str:
    if is_artifact(value):
        return f"<{value['key'].rpartition('/')[2]} {size(value['size'])}>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_compact(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_compact(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def one_line(text: str | None) -> str:
    """The first line of a message, safe to show; of a traceback in it the line that says what was wrong."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    first = next(iter(lines), "")
    if first.endswith(_TRACEBACK):
        first = first.removesuffix(_TRACEBACK) + lines[-1]
    return harmless(first, colours=False)


def cause_text(execution: Execution) -> str:
    """Why an execution did not succeed: the cause and the first line of its message."""
    message = one_line(execution.error)
    cause = str(execution.cause or "")
    if not message or cause in ("exception", "stopped"):  # the message names the exception
        return message or cause
    return message if message.lower().startswith(cause.replace("_", " ")) else f"{cause.replace('_', ' ')}: {message}"


def memory_text(execution: Execution) -> str:
    """What it was given after an attempt before it was killed for its memory; its own such end says it already."""
    return f"memory {sides(execution.memory)[1]}" if execution.memory and execution.cause is not Cause.OOM else ""


def took(execution: Execution, now: float | None = None) -> float | None:
    begun = execution.started_at or execution.launched_at
    end = execution.finished_at or now
    return None if begun is None or end is None else end - begun


def node_took(node: NodeView, now: float | None = None) -> float | None:
    """From the first attempt's start to the last one's end."""
    begun = [each.started_at or each.launched_at for each in node.executions]
    starts = [start for start in begun if start is not None]
    ends = [each.finished_at for each in node.executions if each.finished_at is not None]
    end = max(ends, default=None) if node.status.final else now
    return end - min(starts) if starts and end is not None else None


def attempt_ended(node: NodeView, execution: Execution, paint: Paint) -> str | None:
    """A line about an attempt that did not succeed, and what follows; None where its node's end says enough."""
    if execution.status == "succeeded":
        return f"{paint('!', BOLD)} {'; '.join(map(one_line, execution.warnings))}" if execution.warnings else None
    again = next(
        (each for each in node.executions if each.index == execution.index and each.attempt == execution.attempt + 1), None
    )
    what = f"attempt {execution.attempt} {execution.status}" if again or execution.attempt > 1 else str(execution.status)
    reason = cause_text(execution)
    said = f"{paint.symbol(execution.status)} {what}{': ' if reason else ''}{reason}"
    if again is None:
        return said
    wait = max(0.0, again.not_before - (execution.finished_at or again.created_at))
    return f"{said}{paint(f'; trying again in {duration(wait)}', DIM)}"


def node_ended(view: RunView, node: NodeView, paint: Paint) -> str | None:
    """A line about the end of a node; None where an attempt's line said it already."""
    if node.status is NodeStatus.FAILED and not node.node.mapped:
        return None
    count = f"{node.items} item{'s' * (node.items != 1)} " if node.items is not None else ""
    passed = node_took(node)
    said = f"{paint.symbol(node.status)} {count}{node.status}"
    if node.status in (NodeStatus.SKIPPED, NodeStatus.OMITTED):
        return f"{said}{paint(f': {why_not_run(view, node)}', DIM)}"
    return said + (paint(f" in {duration(passed)}", DIM) if passed is not None else "")


def why_not_run(view: RunView, node: NodeView) -> str:
    """Why a node was skipped or omitted."""
    if node.row and node.row.error:
        return one_line(node.row.error)
    status = {each.name: each.status for each in view.nodes}
    if node.status is NodeStatus.SKIPPED:
        bad = [
            need for need in node.node.needs if status[need] in (NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED)
        ]
        return f"it needs {', '.join(f'{need} ({status[need]})' for need in bad)}" if bad else "something it needs failed"
    if node.node.when is not None:
        return "its condition is false"
    return "nothing to fan out over" if node.node.mapped else "what feeds it was omitted"


def summary(view: RunView, paint: Paint, labels: Labels) -> list[str]:
    """The end of a run: how it went, its output, and where to look on."""
    run = view.run
    passed = duration(run.finished_at - (run.started_at or run.created_at)) if run.finished_at else ""
    name = labels.name(run.name) if run.kind == "job" else run.name
    lines = [f"{paint.state(run.status)} {paint(name, BOLD)}{f' in {passed}' if passed else ''}"]
    if len(view.nodes) > 1:
        lines.append(f"  nodes   {_parts(view)}")
    if run.status is RunStatus.SUCCEEDED and run.output is not None:
        lines.append(f"  output  {value_text(run.output, 500)}")
    if run.status is RunStatus.FAILED:
        lines += failures(view, paint, labels)
    if next(artifacts_in(run.output), None):
        lines.append(paint(f"  files   klassd artifacts {run.id}", DIM))
    return [*lines, paint(f"  more    klassd show {run.id}", DIM)]


def _parts(view: RunView) -> str:
    handled = " and handled" if view.run.status is RunStatus.SUCCEEDED else ""
    counts = tally(view.nodes).items()
    return ", ".join(f"{count} {status}{handled if status is NodeStatus.FAILED else ''}" for status, count in counts)


def failures(view: RunView, paint: Paint, labels: Labels) -> list[str]:
    """What failed and why."""
    failed = [(node, each) for node in view.nodes for each in node.latest if each.status == "failed"]
    lines = [
        f"  {paint(labels.name(node.name, each.index), RED)}  {cause_text(each)}" for node, each in failed[:SHOWN_FAILURES]
    ]
    if len(failed) > SHOWN_FAILURES:
        lines.append(f"  and {len(failed) - SHOWN_FAILURES} more")
    if not failed and view.run.error:
        lines.append(f"  {one_line(view.run.error)}")
    return lines

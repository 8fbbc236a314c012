"""How a run ends, once all its nodes are final."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from klassd.workflows.model.run import RunPatch
from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.rules import conditions, inputs, lifecycle
from klassd.workflows.rules.inputs import ResolveError, View

NAMED = 5  # nodes named in the run's error


def run_end(view: View, definition: Definition, errors: Mapping[str, str | None], status: RunStatus, now: float) -> RunPatch:
    """The run's last change. ``errors``: of its nodes, by name.

    A run that is being cancelled succeeds only where it was too late to cancel anything.
    """
    output: Any = None
    problem = _failure(view, definition, errors)
    if problem is None:
        try:
            output = inputs.returned(definition.returns, view)
        except ResolveError as error:
            problem = f"every node is done, but the run has no output: {error}"
    if problem is None:
        return RunPatch(status=lifecycle.step_run(status, "succeeded"), finished_at=now, output=output)
    if status is RunStatus.CANCELLING:
        return RunPatch(status=lifecycle.step_run(status, "cancelled"), finished_at=now)
    return RunPatch(status=lifecycle.step_run(status, "failed"), finished_at=now, error=problem)


def _failure(view: View, definition: Definition, errors: Mapping[str, str | None]) -> str | None:
    """Why it did not succeed. A skipped node never decides: it stems from a failure, which is handled or not."""
    bad = _unhandled(view, definition)
    return _sentence(view, bad, errors) if bad else None


def _unhandled(view: View, definition: Definition) -> list[str]:
    """Nodes that failed and were not handled, or were stopped, in the definition's order."""
    handled: set[str] = set()
    for node in definition.nodes:
        if node.when is not None and view.node_status(node.name) is NodeStatus.SUCCEEDED:
            handled |= conditions.handles(node.when)
    statuses = ((node.name, view.node_status(node.name)) for node in definition.nodes)
    return [
        name
        for name, status in statuses
        if status is NodeStatus.CANCELLED or (status is NodeStatus.FAILED and name not in handled)
    ]


def _sentence(view: View, bad: Sequence[str], errors: Mapping[str, str | None]) -> str:
    """The nodes, and the first error: the whole of them stands with the nodes."""
    failed = [name for name in bad if view.node_status(name) is NodeStatus.FAILED]
    if not failed:
        return f"{_list(bad)} {'was' if len(bad) == 1 else 'were'} stopped"
    first = f"{failed[0]}: {errors[failed[0]]}" if len(failed) > 1 else str(errors[failed[0]])
    return f"{_list(failed)} failed: {first}"


def _list(names: Sequence[str]) -> str:
    shown = list(names[:NAMED])
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"

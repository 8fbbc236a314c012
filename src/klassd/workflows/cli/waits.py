"""Why something is not running: answered by the scheduler's own rules, from what the store holds."""

from __future__ import annotations

from klassd.workflows.cli.style import duration
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.run import LoadedRun
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.rules.reasons import why_not_running, why_run_not_done
from klassd.workflows.rules.state import RunState

NOBODY = "no scheduler looks after it now; start one: klassd dev"


class Waits:
    """``looked_after``: whether a scheduler is there that owns the run."""

    def __init__(self, view: RunView, now: float, looked_after: bool) -> None:
        self._view, self._now, self._looked_after = view, now, looked_after
        self._state = None if view.run.status.final else _state(view)

    def of_run(self) -> str:
        """ "" when it has ended."""
        run = self._view.run
        if self._state is None:
            return ""
        if run.status is not RunStatus.QUEUED:
            return why_run_not_done(self._state, self._now) if self._looked_after else NOBODY
        if run.not_before > self._now:
            return f"it is due in {duration(run.not_before - self._now)}"
        return "no scheduler has taken it yet; start one: klassd dev"

    def of_node(self, node: NodeView) -> str:
        """ "" when nothing holds it back."""
        if self._state is None or self._view.run.status is RunStatus.QUEUED or node.status.final:
            return ""
        return why_not_running(self._state, node.name, self._now) or _not_started(node) or _not_ready(node)


def _state(view: RunView) -> RunState:
    rows = tuple(node.row for node in view.nodes if node.row)
    executions = tuple(each for node in view.nodes for each in node.executions)
    return RunState.load(view.definition, LoadedRun(run=view.run, definition=b"", nodes=rows, executions=executions))


def _not_started(node: NodeView) -> str:
    """Where nothing of it runs: what its executions wait for; and where nobody can tell whether it does."""
    latest = node.latest
    if node.status is not NodeStatus.RUNNING or not latest:
        return ""
    if unknown := [each for each in latest if each.waiting and each.started_at is not None]:
        return f"{unknown[0].waiting}" + (f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else "")
    if all(each.status is ExecutionStatus.QUEUED for each in latest):
        return "waiting for a free slot"
    starting = all(each.status in (ExecutionStatus.QUEUED, ExecutionStatus.STARTING) for each in latest)
    return next((each.waiting for each in latest if each.waiting), "") if starting else ""


def _not_ready(node: NodeView) -> str:
    """Of a service that runs and cannot be used yet."""
    return "not ready yet" if node.status is NodeStatus.RUNNING and node.node.service is not None else ""

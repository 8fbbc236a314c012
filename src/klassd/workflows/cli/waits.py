"""Why something is not running."""

from __future__ import annotations

from klassd.workflows.cli.style import duration
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus


def run_waits(view: RunView, now: float) -> str:
    run = view.run
    if run.status is not RunStatus.QUEUED:
        return ""
    if run.not_before > now:
        return f"it is due in {duration(run.not_before - now)}"
    return "no scheduler has taken it yet; start one: klassd dev"


def node_waits(view: RunView, node: NodeView, now: float) -> str:
    if node.status is NodeStatus.PENDING and not view.run.status.final:
        status = {each.name: each.status for each in view.nodes}
        open_needs = [need for need in node.node.needs if not status[need].final]
        return f"waits for {', '.join(open_needs)}" if open_needs else ""
    waiting = [each for each in node.latest if each.status is ExecutionStatus.QUEUED]
    if node.status is not NodeStatus.RUNNING or len(waiting) < len(node.latest) or not waiting:
        return ""
    due = min(each.not_before for each in waiting) - now
    return f"attempt {waiting[0].attempt} in {duration(due)}" if due > 0 else "waits for a free slot"

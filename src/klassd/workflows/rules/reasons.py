"""Why something does not run, in a short sentence."""

from __future__ import annotations

from collections.abc import Iterable

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.rules import retries
from klassd.workflows.rules.lifecycle import TaskStatus
from klassd.workflows.rules.state import NodeState, RunState, TaskState

NAMED = 3


def why_not_running(state: RunState, node: str, now: float | None = None) -> str:
    """Of a node; "" while it runs with nothing held back, and once it succeeded. ``now``: to say how long a retry waits."""
    found = state.nodes[node]
    match found.status:
        case NodeStatus.PENDING:
            return _pending(state, found)
        case NodeStatus.RUNNING:
            return _running(found, now)
        case NodeStatus.SUCCEEDED:
            return ""
        case ended:
            return f"{ended}: {found.error}" if found.error else str(ended)


def why_run_not_done(state: RunState, now: float | None = None) -> str:
    """Of a run: what it waits for; "" once it is final."""
    if state.status.final:
        return ""
    running = [node for node in state.nodes.values() if node.status is NodeStatus.RUNNING]
    if state.status is RunStatus.CANCELLING:
        alive = sum(node.running for node in running)
        return f"cancelling: {alive:,} {'execution' if alive == 1 else 'executions'} still to end"
    if not running:
        return "nothing of it has started yet"
    reasons = [reason for node in running if (reason := _running(node, now))]
    names = _listed(node.node.name for node in running)
    return f"{names}: {reasons[0]}" if len(running) == 1 and reasons else f"running {names}"


def _pending(state: RunState, node: NodeState) -> str:
    if state.status is RunStatus.CANCELLING:
        return "the run is being cancelled"
    unmet = [need for need in dict.fromkeys(node.node.needs) if not state.nodes[need].status.final]
    return f"waiting for {_listed(unmet)}" if unmet else "about to start"


def _running(node: NodeState, now: float | None) -> str:
    """What holds it back: its cap, or the retry that comes next."""
    waiting = node.count - node.next
    if waiting and node.running + node.waiting >= node.cap:
        return f"{node.running:,} of {node.cap:,} items running (max_parallel)"
    retries = [task for task in node.tasks.values() if _between_attempts(task, now)]
    if not retries:
        return ""
    soonest = min(retries, key=lambda task: task.not_before)
    others = len(retries) - 1
    more = f", and {others:,} more {'item' if others == 1 else 'items'}" if others else ""
    return _retry(soonest, node.node, now) + more


def _between_attempts(task: TaskState, now: float | None) -> bool:
    if task.status is TaskStatus.WAITING:
        return True
    return task.status is TaskStatus.RUNNING and task.attempt > 1 and now is not None and task.not_before > now


def _retry(task: TaskState, node: Node, now: float | None) -> str:
    policy, cause = node.options.retry, retries.latest(task.failures)
    left = task.not_before - now if now is not None else 0.0
    number, most = retries.spent(policy, task.failures, cause), retries.budget(policy, task.failures, cause, task.memory)
    return f"retry {number} of {most}" + (f" in {_seconds(left)}" if left > 0 else "")


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - NAMED:,} more" if len(shown) > NAMED else ""
    return ", ".join(shown[:NAMED]) + more

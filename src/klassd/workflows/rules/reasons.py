"""Why something does not run, in a short sentence."""

from __future__ import annotations

from collections.abc import Iterable

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Node
from klassd.workflows.rules import conditions, inputs
from klassd.workflows.rules.conditions import ConditionError
from klassd.workflows.rules.inputs import Absent, ResolveError
from klassd.workflows.rules.lifecycle import TaskStatus
from klassd.workflows.rules.state import NodeState, RunState, TaskState

BAD = (NodeStatus.FAILED, NodeStatus.CANCELLED, NodeStatus.SKIPPED)
NAMED = 3


def why_not_running(state: RunState, node: str, now: float | None = None) -> str:
    """Of a node; "" while it runs with nothing held back, and once it succeeded. ``now``: to say how long a retry waits."""
    found = state.nodes[node]
    match found.status:
        case NodeStatus.PENDING:
            return _pending(state, found)
        case NodeStatus.RUNNING:
            return _running(found, now)
        case NodeStatus.SKIPPED:
            return f"skipped: {_culprit(state, found.node)}"
        case NodeStatus.OMITTED:
            return f"omitted: {_omission(state, found)}"
        case NodeStatus.FAILED:
            return f"failed: {found.error or 'no details'}"
        case NodeStatus.CANCELLED:
            return "cancelled"
        case NodeStatus.SUCCEEDED:
            return ""


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
    number = task.attempt if task.status is TaskStatus.WAITING else task.attempt - 1
    left = task.not_before - now if now is not None else 0.0
    return f"retry {number} of {node.options.retry.times}" + (f" in {_seconds(left)}" if left > 0 else "")


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _culprit(state: RunState, node: Node) -> str:
    """The need that came to a bad end and that its condition does not speak of; else one whose output it lacks."""
    spoken = conditions.outcomes(node.when) if node.when is not None else set()
    names = [*(need for need in node.needs if need not in spoken), *inputs.absent_inputs(state, node), *node.needs]
    name = next((name for name in names if state.nodes[name].status in BAD), None)
    return _came_to(state, name) if name else "something it needs failed"


def _omission(state: RunState, node: NodeState) -> str:
    if node.items is not None:
        return f"0 items in {inputs.show(node.node.over)}"
    if name := _lacking(state, node.node):
        return _came_to(state, name)
    return f"{conditions.describe(node.node.when)} was false" if node.node.when is not None else "nothing to do"


def _lacking(state: RunState, node: Node) -> str | None:
    """The node whose output it would have needed; None: its condition decided."""
    try:
        if node.when is not None and not conditions.holds(node.when, state):
            return None
    except Absent as absent:
        return absent.node
    except (ConditionError, ResolveError):
        pass  # a function, which cannot be asked here: if nothing it needs is missing, it said no
    over = inputs.refs_in(node.over) if node.mapped else set()
    absent_names = [*inputs.absent_inputs(state, node), *(name for name in sorted(over) if inputs.is_absent(name, state))]
    return absent_names[0] if absent_names else None


_CAME_TO = {NodeStatus.FAILED: "failed", NodeStatus.CANCELLED: "was cancelled", NodeStatus.SKIPPED: "was skipped"}


def _came_to(state: RunState, name: str) -> str:
    return f"{name} {_CAME_TO.get(state.nodes[name].status, 'was omitted')}"


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - NAMED:,} more" if len(shown) > NAMED else ""
    return ", ".join(shown[:NAMED]) + more

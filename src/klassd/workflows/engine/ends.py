"""What the end of an execution comes to: the verdict on it, and the last of its row."""

from __future__ import annotations

from typing import Any

from klassd.workflows.engine.live import Live
from klassd.workflows.model.execution import Exit, Finished
from klassd.workflows.model.states import Cause, RunStatus
from klassd.workflows.rules import lifecycle, retries, services
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.rules.state import RunState


def never_started() -> Finished:
    return Finished(exit=Exit(reason=Cause.STOPPED, message="stopped before it started"))


def judged(state: RunState, live: Live, finished: Finished) -> Verdict:
    seen = _did_not_start(live, finished) if is_late(live, finished) else finished
    verdict = lifecycle.verdict(seen, live.stop_requested, of_container=live.node.container is not None)
    return services.judged(state, live.task[0], _explained(state, live, verdict))


def _explained(state: RunState, live: Live, verdict: Verdict) -> Verdict:
    """Where another attempt follows by the policy, or none does."""
    if state.status is not RunStatus.RUNNING:
        return verdict
    task = state.nodes[live.task[0]].tasks[live.task[1]]
    return retries.explained(live.node.options.retry, task.failures, verdict, task.memory)


def is_late(live: Live, finished: Finished) -> bool:
    """It was stopped because of its start deadline: by us, or by an earlier owner that did not live to say so. Perhaps it
    had started meanwhile; nobody asked for its end all the same."""
    if live.node.options.start_deadline is None or live.stop_requested or live.unknown is not None:
        return False
    stopped = finished.end.requested == "stop" if finished.end else finished.exit.reason == Cause.STOPPED
    return (stopped and (live.late or live.adopted)) or (live.late and live.started_at is None)


def _did_not_start(live: Live, finished: Finished) -> Finished:
    message = f"it did not start within {live.node.options.start_deadline:g} s"
    message += f": {live.waiting}" if live.waiting else ""
    return Finished(exit=Exit(reason=Cause.START_DEADLINE, message=message), at=finished.at)


def last_row(live: Live, verdict: Verdict, finished: Finished, now: float) -> dict[str, Any]:
    end = finished.end
    return {
        "status": verdict.status,
        "finished_at": finished.at or now,
        "cause": verdict.cause,
        "error": verdict.message,
        "detail": verdict.detail,
        "exit_code": verdict.exit_code,
        "output": verdict.output,
        "outputs": verdict.outputs,
        "warnings": verdict.warnings,
        "log_lines": end.lines if end else live.lines,
    } | ({"memory": verdict.memory} if verdict.memory else {})

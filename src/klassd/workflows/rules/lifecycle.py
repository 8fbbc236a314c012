"""The state machines as tables, and the verdict: what an execution came to.

An end is decided on facts only: the worker's own record first (``End``), then what the machine or cluster saw (``Exit``).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from klassd.workflows.errors import KlassdError
from klassd.workflows.model.execution import Exit, Finished
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.order import End


class TaskStatus(StrEnum):
    """One item of a node. A task that was never started has no state at all: it is waiting for its turn."""

    WAITING = "waiting"  # between two attempts
    RUNNING = "running"  # its latest attempt is not final
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class IllegalMove(KlassdError):
    """An event that the state does not allow."""

    def __init__(self, machine: str, status: str, event: str, allowed: Mapping[str, str]) -> None:
        self.machine, self.status, self.event = machine, status, event
        expected = ", ".join(allowed) or "nothing, the state is final"
        super().__init__(f"{machine} is {status}: {event!r} is not possible, expected {expected}")


_E, _R, _N, _T = ExecutionStatus, RunStatus, NodeStatus, TaskStatus
_ENDS = {"succeeded": _E.SUCCEEDED, "failed": _E.FAILED, "stopped": _E.STOPPED}

EXECUTION: Mapping[ExecutionStatus, Mapping[str, ExecutionStatus]] = {
    _E.QUEUED: {"start": _E.STARTING, "stop": _E.STOPPED, "stopped": _E.STOPPED},
    _E.STARTING: {"started": _E.RUNNING, "ready": _E.READY, "stop": _E.STOPPING, **_ENDS},
    # "started" and "ready" are heard again after a take-over
    _E.RUNNING: {"started": _E.RUNNING, "ready": _E.READY, "stop": _E.STOPPING, **_ENDS},
    _E.READY: {"started": _E.READY, "ready": _E.READY, "stop": _E.STOPPING, **_ENDS},
    _E.STOPPING: {"started": _E.STOPPING, "ready": _E.STOPPING, "stop": _E.STOPPING, **_ENDS},
    _E.SUCCEEDED: {},
    _E.FAILED: {},
    _E.STOPPED: {},
}
TASK: Mapping[TaskStatus, Mapping[str, TaskStatus]] = {
    _T.WAITING: {"start": _T.RUNNING, "cancel": _T.CANCELLED},
    _T.RUNNING: {"retry": _T.WAITING, "succeeded": _T.SUCCEEDED, "failed": _T.FAILED, "stopped": _T.CANCELLED},
    _T.SUCCEEDED: {},
    _T.FAILED: {},
    _T.CANCELLED: {},
}
NODE: Mapping[NodeStatus, Mapping[str, NodeStatus]] = {
    _N.PENDING: {
        "start": _N.RUNNING,
        "need_failed": _N.SKIPPED,
        "omit": _N.OMITTED,
        "empty": _N.SUCCEEDED,  # nothing to fan out over, and on_empty="succeed"
        "failed": _N.FAILED,  # its condition or the source of its fan-out
        "cancel": _N.CANCELLED,
    },
    _N.RUNNING: {"ready": _N.READY, "succeeded": _N.SUCCEEDED, "failed": _N.FAILED, "cancel": _N.CANCELLED},
    _N.READY: {"succeeded": _N.SUCCEEDED, "failed": _N.FAILED, "cancel": _N.CANCELLED},  # a service
    _N.SUCCEEDED: {},
    _N.FAILED: {},
    _N.CANCELLED: {},
    _N.SKIPPED: {},
    _N.OMITTED: {},
}
RUN: Mapping[RunStatus, Mapping[str, RunStatus]] = {
    _R.QUEUED: {"claim": _R.RUNNING, "cancel": _R.CANCELLED},
    _R.RUNNING: {"succeeded": _R.SUCCEEDED, "failed": _R.FAILED, "cancel": _R.CANCELLING},
    _R.CANCELLING: {"cancelled": _R.CANCELLED, "succeeded": _R.SUCCEEDED},  # all had succeeded before the stop took effect
    _R.SUCCEEDED: {},
    _R.FAILED: {},
    _R.CANCELLED: {},
}
TABLES: Mapping[str, Mapping[Any, Mapping[str, Any]]] = MappingProxyType(
    {"run": RUN, "node": NODE, "task": TASK, "execution": EXECUTION}
)

# What the end of an attempt is for its task; a failure may be a "retry" instead.
TASK_EVENTS = {_E.SUCCEEDED: "succeeded", _E.FAILED: "failed", _E.STOPPED: "stopped"}

S = TypeVar("S", bound=StrEnum)


def step(status: ExecutionStatus, event: str) -> ExecutionStatus:
    """The state an execution is in after ``event``. Raises ``IllegalMove``."""
    return _step("an execution", EXECUTION, status, event)


def step_task(status: TaskStatus, event: str) -> TaskStatus:
    return _step("a task", TASK, status, event)


def step_node(status: NodeStatus, event: str) -> NodeStatus:
    return _step("a node", NODE, status, event)


def step_run(status: RunStatus, event: str) -> RunStatus:
    return _step("a run", RUN, status, event)


def _step(machine: str, table: Mapping[S, Mapping[str, S]], status: S, event: str) -> S:
    try:
        return table[status][event]
    except KeyError:
        raise IllegalMove(machine, status, event, table[status]) from None


# -- the verdict ------------------------------------------------------------------------------------------------------


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution came to. ``message`` is for users; None where it succeeded."""

    status: ExecutionStatus
    cause: Cause | None = None
    message: str | None = None
    detail: str | None = None  # traceback
    exit_code: int | None = None
    memory: str | None = None  # of one that was killed for it: request/limit that it had, as far as is known
    retry: bool = False  # another attempt may help
    infrastructure: bool = False  # the machine's or cluster's doing, not the job's
    warnings: tuple[str, ...] = ()
    output: Any = None
    outputs: dict[str, Any] = {}


# What only the machine or the cluster can know. It explains an end better than the signal it was done with.
INFRASTRUCTURE = frozenset({Cause.OOM, Cause.EVICTED, Cause.IMAGE, Cause.START_DEADLINE, Cause.LOST})
_MACHINE = INFRASTRUCTURE | {Cause.DEADLINE}
# The same inputs, job and definition would meet the same end.
PERMANENT = frozenset({Cause.INPUT, Cause.LAUNCH, Cause.STOPPED, Cause.SERVICE})
# For these the worker's record says whether another attempt may help.
BY_RECORD = frozenset({Cause.EXCEPTION, Cause.OUTPUT})

_SENTENCES = {
    Cause.INPUT: "the inputs do not fit the job",
    Cause.OUTPUT: "it succeeded, but an output could not be stored",
    Cause.DEADLINE: "ran longer than its timeout",
    Cause.START_DEADLINE: "did not start in time",
    Cause.NOT_READY: "was not ready in time",
    Cause.OOM: "killed: it used more memory than its limit",
    Cause.EVICTED: "evicted from its machine",
    Cause.IMAGE: "the image could not be pulled or started",
    Cause.LOST: "the process is gone and left no outcome",
    Cause.LAUNCH: "the executor refused it",
    Cause.STOPPED: "stopped on request",
}


def verdict(finished: Finished, stop_requested: bool, of_container: bool = False) -> Verdict:
    """The outcome table. ``stop_requested``: this execution was asked to stop before its end was heard. ``of_container``: an
    image returns nothing, so the files it leaves are together what stands for its return value."""
    found = _verdict(finished, stop_requested)
    if of_container and found.status is ExecutionStatus.SUCCEEDED:
        return msgspec.structs.replace(found, output=found.outputs)
    return found


def _verdict(finished: Finished, stop_requested: bool) -> Verdict:
    end, exit_ = finished.end, finished.exit
    if end is None:
        return _without_record(exit_, stop_requested)
    if end.result == "success" and end.requested is None and end.stored:
        return _success(end, exit_, finished.outputs)
    if _stopped(end, exit_, stop_requested):
        return _unsuccessful(end, exit_, Cause.STOPPED, _stop_sentence(end))
    if end.requested == "not_ready":
        return _unsuccessful(end, exit_, Cause.NOT_READY, _SENTENCES[Cause.NOT_READY])
    if end.requested == "deadline":
        return _unsuccessful(end, exit_, Cause.DEADLINE, _deadline_sentence(end))
    if end.result == "success":
        return _unsuccessful(end, exit_, Cause.OUTPUT, _not_stored(end, exit_))
    if end.result == "failure":
        cause = _known(end.cause) or Cause.EXCEPTION
        return _unsuccessful(end, exit_, cause, _error_sentence(end) or _SENTENCES.get(cause, "the job failed"))
    return _no_result(end, exit_)


def _success(end: End, exit_: Exit, given: Mapping[str, bytes]) -> Verdict:
    if missing := [name for name in end.outputs if name not in given]:
        names = ", ".join(_output_name(name) for name in missing)
        return _unsuccessful(end, exit_, Cause.OUTPUT, f"it succeeded, but of its outputs these never arrived: {names}")
    try:
        values = {name: msgspec.json.decode(given[name]) for name in end.outputs}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unsuccessful(end, exit_, Cause.OUTPUT, f"it succeeded, but an output cannot be read: {error}")
    return Verdict(
        status=ExecutionStatus.SUCCEEDED,
        exit_code=_exit_code(end, exit_),
        warnings=(*end.warnings, *exit_.warnings, *_afterwards(end, exit_)),
        output=values.pop("", None),
        outputs=values,
    )


def _afterwards(end: End, exit_: Exit) -> list[str]:
    """A process that crashed after its result was recorded: the result stands, and nobody need wonder about the rest."""
    if end.killed:
        return ["after its result was recorded: it did not end by itself within its grace and was killed"]
    how = _machine_sentence(exit_) or _death(end, exit_)
    return [f"after its result was recorded: {how}"] if how else []


def _stopped(end: End, exit_: Exit, stop_requested: bool) -> bool:
    """A machine that shuts down asks a job to stop too: then its own reason says so, and it is no wish of anybody's."""
    return stop_requested or (end.requested == "stop" and _known(exit_.reason) not in _MACHINE)


def _without_record(exit_: Exit, stop_requested: bool) -> Verdict:
    cause = _known(exit_.reason)
    if stop_requested or cause is Cause.STOPPED:
        return _unsuccessful(None, exit_, Cause.STOPPED, exit_.message or _SENTENCES[Cause.STOPPED])
    if exit_.reason and cause is None:
        message = ": ".join(part for part in (exit_.reason, exit_.message) if part)
        return _unsuccessful(None, exit_, Cause.LOST, message)
    if cause is not None:
        return _unsuccessful(None, exit_, cause, _told(cause, exit_))
    return _no_result(None, exit_)


def _no_result(end: End | None, exit_: Exit) -> Verdict:
    """No result was recorded: the machine's reason, else how the process ended."""
    reason = _known(exit_.reason)
    told_to_stop = end is not None and end.requested == "stop"  # by none of us: its code is an answer to that
    if reason in _MACHINE and (reason is not Cause.LOST or told_to_stop):
        return _unsuccessful(end, exit_, reason, _told(reason, exit_))
    if end is not None and (cause := _known(end.cause)):
        return _unsuccessful(end, exit_, cause, _error_sentence(end) or _SENTENCES.get(cause, str(cause)))
    if _signal(end, exit_) is not None:
        return _unsuccessful(end, exit_, Cause.SIGNAL, _death(end, exit_))
    code = _exit_code(end, exit_)
    if code is None:
        return _unsuccessful(end, exit_, Cause.LOST, exit_.message or _SENTENCES[Cause.LOST])
    if code == 0:
        return _unsuccessful(end, exit_, Cause.NO_RESULT, "the process ended with exit code 0 and no result")
    return _unsuccessful(end, exit_, Cause.EXIT, f"exit code {code} without a result")


def _unsuccessful(end: End | None, exit_: Exit, cause: Cause, message: str) -> Verdict:
    error = end.error if end else None
    return Verdict(
        status=ExecutionStatus.STOPPED if cause is Cause.STOPPED else ExecutionStatus.FAILED,
        cause=cause,
        message=message,
        detail=(error.traceback or None) if error else None,
        exit_code=_exit_code(end, exit_),
        memory=(exit_.memory or None) if cause is Cause.OOM else None,
        retry=_may_help(cause, end),
        infrastructure=cause in INFRASTRUCTURE or (cause is Cause.DEADLINE and _known(exit_.reason) is Cause.DEADLINE),
        warnings=(*(end.warnings if end else ()), *exit_.warnings),
    )


def _may_help(cause: Cause, end: End | None) -> bool:
    if cause in BY_RECORD and end is not None and end.error is not None:
        return end.error.retry
    return cause not in PERMANENT


def _known(reason: str | None) -> Cause | None:
    try:
        return Cause(reason) if reason else None
    except ValueError:
        return None


def _exit_code(end: End | None, exit_: Exit) -> int | None:
    """The job's own process is asked first: in a pod the container's code is the supervisor's."""
    return end.exit_code if end is not None and end.exit_code is not None else exit_.exit_code


def _signal(end: End | None, exit_: Exit) -> int | None:
    if end is not None and (end.signal is not None or end.exit_code is not None):
        return end.signal
    return exit_.signal


# -- sentences --------------------------------------------------------------------------------------------------------


def _death(end: End | None, exit_: Exit) -> str:
    """How the process ended where that was not in order, else nothing."""
    number = _signal(end, exit_) or exit_.signal
    if number is not None:
        return f"killed by signal {number}{_signal_name(number)}"
    code = _exit_code(end, exit_) or exit_.exit_code
    return f"exit code {code}" if code else ""


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def _machine_sentence(exit_: Exit) -> str:
    cause = _known(exit_.reason)
    return _told(cause, exit_) if cause in _MACHINE else ""


def _told(cause: Cause, exit_: Exit) -> str:
    """What the executor says of it, or the plain sentence for that cause."""
    if cause is Cause.SIGNAL or cause is Cause.EXIT:
        return exit_.message or _death(None, exit_) or str(cause)
    return exit_.message or _SENTENCES.get(cause, f"the process ended: {cause}")


def _error_sentence(end: End) -> str:
    if end.error is None:
        return ""
    return f"{end.error.type}: {end.error.message}" if end.error.message else end.error.type


def _not_stored(end: End, exit_: Exit) -> str:
    why = _error_sentence(end) or exit_.message
    return f"{_SENTENCES[Cause.OUTPUT]}: {why}" if why else _SENTENCES[Cause.OUTPUT]


def _stop_sentence(end: End) -> str:
    if end.killed:
        return "stopped on request: it did not end within its grace and was killed"
    if end.result == "failure" and end.requested is None:
        return f"stopped on request; before that it had failed: {_error_sentence(end) or 'no details'}"
    return _SENTENCES[Cause.STOPPED]


def _deadline_sentence(end: End) -> str:
    ran = end.finished_at - end.started_at
    after = f": stopped after {ran:{'.3g' if ran < 1000 else ',.0f'}} s" if end.started_at and ran > 0 else ""
    return f"{_SENTENCES[Cause.DEADLINE]}{after}{' and killed, since it did not end within its grace' if end.killed else ''}"


def _output_name(name: str) -> str:
    return repr(name) if name else "the return value"

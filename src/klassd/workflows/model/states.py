"""The states of a run, a node and an execution, by name.

Plain string enums: the same word stands in the store, in the API, in the CLI and in the dashboard.
"""

from enum import StrEnum


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in _FINAL_RUN


class NodeStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    READY = "ready"  # a service that can be used
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # something it needs failed
    OMITTED = "omitted"  # its condition was false, or it had nothing to fan out over: benign

    @property
    def final(self) -> bool:
        return self not in (NodeStatus.PENDING, NodeStatus.RUNNING, NodeStatus.READY)


class ExecutionStatus(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"  # a service that can be used
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def final(self) -> bool:
        return self in _FINAL_EXECUTION


class StartAnswer(StrEnum):
    """What a worker is told that wants to start an execution."""

    GRANTED = "granted"
    TAKEN = "taken"  # another has started it
    OVER = "over"  # it has ended, or is to
    UNKNOWN = "unknown"  # there is none, or this is none of its secrets


class Cause(StrEnum):
    """Why an execution did not succeed. A failure always names one; it is a fact, never a lost connection."""

    EXCEPTION = "exception"  # user code raised
    EXIT = "exit"  # the process ended with an exit code and no result
    SIGNAL = "signal"  # the process was killed by a signal
    NO_RESULT = "no_result"  # the process ended with exit code 0 and no result
    OUTPUT = "output"  # an output or an artifact could not be stored
    INPUT = "input"  # inputs that do not fit the job, or a job that cannot be imported
    DEADLINE = "deadline"  # ran longer than its timeout
    START_DEADLINE = "start_deadline"  # did not start in time
    NOT_READY = "not_ready"  # a service could not be used in time
    SERVICE = "service"  # a service it used had ended
    OOM = "oom"  # killed: it used more memory than its limit
    EVICTED = "evicted"  # taken from its machine: pressure, preemption, shutdown
    IMAGE = "image"  # its image could not be pulled or started
    LOST = "lost"  # the process is gone and left no outcome
    LAUNCH = "launch"  # the executor refused it
    STOPPED = "stopped"  # somebody asked


_FINAL_RUN = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
_FINAL_EXECUTION = frozenset({ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.STOPPED})

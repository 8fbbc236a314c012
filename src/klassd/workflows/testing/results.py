"""What ``run_job``, ``run_workflow`` and the runs of a ``VirtualEngine`` give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """One execution. Values are as they are stored: JSON's own types."""

    status: ExecutionStatus
    output: Any = None
    outputs: dict[str, Any] = field(default_factory=dict)
    cause: Cause | None = None
    error: str | None = None
    exception: BaseException | None = field(default=None, repr=False)  # the very one that the job raised
    retry: bool = True  # of a failure: whether another attempt may help
    warnings: tuple[str, ...] = ()
    console: list[LogLine] = field(default_factory=list, repr=False)
    bars: dict[str, dict[str, Any]] = field(default_factory=dict)
    node: str = ""
    index: int = 0
    attempt: int = 1
    started_at: float | None = None  # virtual seconds since the start of the test
    finished_at: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.status is ExecutionStatus.SUCCEEDED

    @property
    def lines(self) -> list[str]:
        """The console's text."""
        return [line.text for line in self.console]


@dataclass(frozen=True, kw_only=True)
class NodeResult:
    """One node of a run, with every attempt of every task."""

    name: str
    status: NodeStatus
    output: Any = None  # of a fan-out: the list of its items' outputs
    error: str | None = None
    executions: list[JobResult] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return self.status is NodeStatus.SUCCEEDED

    @property
    def attempts(self) -> int:
        """Of the task that took the most; 0: it was never started."""
        return max((execution.attempt for execution in self.executions), default=0)

    @property
    def outputs(self) -> dict[str, Any]:
        """Named outputs of its last execution."""
        return self.executions[-1].outputs if self.executions else {}

    @property
    def lines(self) -> list[str]:
        """The console text of all its executions, one after the other."""
        return [line for execution in self.executions for line in execution.lines]


@dataclass(frozen=True, kw_only=True)
class WorkflowResult:
    """A run and where it stands."""

    status: RunStatus
    output: Any = None
    error: str | None = None
    nodes: dict[str, NodeResult] = field(default_factory=dict)
    elapsed: float = 0.0  # virtual seconds from its acceptance to its end, or until now

    @property
    def succeeded(self) -> bool:
        return self.status is RunStatus.SUCCEEDED

    @property
    def lines(self) -> list[str]:
        """Every line of every console as ``"node[index]#attempt: text"``, in the order they were said."""
        said = [
            (line.time, execution, line)
            for node in self.nodes.values()
            for execution in node.executions
            for line in execution.console
        ]
        said.sort(key=lambda entry: entry[0])
        return [f"{execution.node}[{execution.index}]#{execution.attempt}: {line.text}" for _, execution, line in said]

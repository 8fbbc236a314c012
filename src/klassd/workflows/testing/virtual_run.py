"""A run of a ``VirtualEngine`` as a test looks at it, and the results made of what the store holds."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from klassd.workflows.client import Client, NodeView
from klassd.workflows.errors import KlassdError, UnknownName
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import RunStatus
from klassd.workflows.testing.inline import InlineExecutor
from klassd.workflows.testing.results import JobResult, NodeResult, WorkflowResult

if TYPE_CHECKING:
    from klassd.workflows.testing.virtual_engine import VirtualEngine


class VirtualRun:
    """A run that was enqueued. Each look shows it as it is now; two of the same run are equal."""

    def __init__(self, engine: VirtualEngine, id: str) -> None:
        self.id = id
        self._engine = engine

    @property
    def result(self) -> WorkflowResult:
        """All of it: every node with every attempt."""
        return self._engine.result(self)

    @property
    def status(self) -> RunStatus:
        return self.result.status

    @property
    def succeeded(self) -> bool:
        return self.result.succeeded

    @property
    def output(self) -> Any:
        return self.result.output

    @property
    def error(self) -> str | None:
        return self.result.error

    @property
    def lines(self) -> list[str]:
        """Every line of every console as ``"node[index]#attempt: text"``, in the order they were said."""
        return self.result.lines

    def node(self, name: str | None = None) -> NodeResult:
        """``None``: the only one there is, as of a job enqueued alone. Raises UnknownName with the names that look alike."""
        nodes = self.result.nodes
        if name is None:
            if len(nodes) > 1:
                raise KlassdError(f"this run has {len(nodes)} nodes: give the name of one, of {', '.join(nodes)}")
            return next(iter(nodes.values()))
        if name not in nodes:
            raise UnknownName("node", name, get_close_matches(name, nodes, n=2), len(nodes))
        return nodes[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VirtualRun) and (self.id, self._engine) == (other.id, other._engine)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<VirtualRun {self.id}>"


async def run_result(client: Client, executor: InlineExecutor, run_id: str, start: float, now: float) -> WorkflowResult:
    view = await client.view(run_id)
    run = view.run
    nodes = {node.name: await _node_result(client, executor, node, start) for node in view.nodes}
    elapsed = (now if run.finished_at is None else run.finished_at) - run.created_at
    return WorkflowResult(status=run.status, output=run.output, error=run.error, nodes=nodes, elapsed=elapsed)


async def _node_result(client: Client, executor: InlineExecutor, node: NodeView, start: float) -> NodeResult:
    executions = [await _job_result(client, executor, execution, start) for execution in node.executions]
    return NodeResult(name=node.name, status=node.status, output=node.output, error=node.error, executions=executions)


async def _job_result(client: Client, executor: InlineExecutor, stored: Execution, start: float) -> JobResult:
    """What the store holds of it, and the exception itself."""
    ran = executor.executions.get(stored.id)
    return JobResult(
        status=stored.status,
        output=stored.output,
        outputs=stored.outputs,
        cause=stored.cause,
        error=stored.error,
        exception=ran.came.exception if ran else None,
        warnings=stored.warnings,
        console=await client.log(stored.id, limit=sys.maxsize),
        bars=stored.progress,
        node=stored.node,
        index=stored.index,
        attempt=stored.attempt,
        started_at=None if stored.started_at is None else stored.started_at - start,
        finished_at=None if stored.finished_at is None else stored.finished_at - start,
    )

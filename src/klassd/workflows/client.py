"""The verbs an application may use; the CLI uses exactly these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

import msgspec

from klassd.workflows.artifacts.referring import writers_in
from klassd.workflows.crashes import mark
from klassd.workflows.errors import InvalidInput, KlassdError, UnknownName
from klassd.workflows.job import JobInfo, job_info
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.page import Counts, ExecutionQuery, Page, RunQuery
from klassd.workflows.model.run import Execution, NodeRow, Run
from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node, definition_from
from klassd.workflows.options import seconds
from klassd.workflows.ports import Clock, Ids, NewRun, Spawner, Store
from klassd.workflows.pruning import DeleteArtifacts, keep_artifacts, prune
from klassd.workflows.rules.timeline import Step, timeline
from klassd.workflows.wake import Wake
from klassd.workflows.workflow import Workflow, job_definition

POLL = 1.0  # seconds between looks when no hint comes
MAX_ARGUMENTS = 256 * 1024  # bytes of JSON a run may be given; more goes by Artifact
ALL = 1000  # executions fetched at once


class Runnable(Protocol):
    """A job instance: anything with ``run(ctx, ...)``."""

    @property
    def run(self) -> Any: ...


class NodeView(msgspec.Struct, kw_only=True):
    """A node of a run as people look at it."""

    name: str
    status: NodeStatus
    node: Node
    row: NodeRow | None
    executions: list[Execution]  # every attempt of every task; the last attempt of a task decides

    @property
    def latest(self) -> list[Execution]:
        """The last attempt of each task, in item order."""
        last = {execution.index: execution for execution in self.executions}
        return [last[index] for index in sorted(last)]

    @property
    def items(self) -> int | None:
        """Number of items of a fan-out that is expanded; None for a plain node."""
        return len(self.row.items) if self.row and self.row.items is not None else None

    @property
    def address(self) -> str | None:
        """Of a service, once it is ready: ``"host:port"``."""
        return self.row.address if self.row else None

    @property
    def attempts(self) -> int:
        return max((execution.attempt for execution in self.executions), default=0)

    @property
    def output(self) -> Any:
        """The node's output: of a fan-out the list of its items' outputs. None unless it succeeded."""
        if self.status is not NodeStatus.SUCCEEDED:
            return None
        outputs = [execution.output for execution in self.latest]
        return outputs if self.node.mapped else (outputs[0] if outputs else None)

    @property
    def error(self) -> str | None:
        failed = (execution.error for execution in self.latest if execution.error)
        return (self.row.error if self.row else None) or next(failed, None)


class RunView(msgspec.Struct, kw_only=True):
    run: Run
    definition: Definition
    nodes: list[NodeView]


class Client:
    """Enqueue, look, stop. Opened with ``async with app.client() as client``."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        spawner: Spawner,
        app: str = "",
        close_store: bool = True,
        delete_artifacts: DeleteArtifacts = keep_artifacts,
    ) -> None:
        self._store, self._clock, self._ids, self._spawner = store, clock, ids, spawner
        self._app = app
        self._delete_artifacts = delete_artifacts
        self._close_store = close_store
        self._definitions: dict[str, tuple[Definition, str, bytes]] = {}

    async def __aenter__(self) -> Client:
        await self._store.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._spawner.close()
        if self._close_store:
            await self._store.close()

    # -- enqueue ------------------------------------------------------------------------------------------------

    async def enqueue(
        self,
        work: Runnable | Workflow,
        *,
        unique_key: str | None = None,
        delay: timedelta | float | str | None = None,
        tags: Sequence[str] = (),
        tenant: str = "",
        params: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> str:
        """Accept one run of a job instance or a workflow and return its id. Once it has returned, the run is not lost.

        ``unique_key``: asking again with the same key (per tenant) gives the run that has it. ``delay``: seconds,
        "5m" or a timedelta. ``params``: the parameters of a workflow.

        Raises ``InvalidInput``, ``InvalidWorkflow``, ``StoreError``.
        """
        new = self._new_run(
            work, unique_key=unique_key, delay=delay, tags=tags, tenant=tenant, params=params, queue=queue, priority=priority
        )
        return (await self._accept([new]))[0]

    async def enqueue_many(
        self, work: Iterable[Runnable | Workflow], *, tags: Sequence[str] = (), tenant: str = ""
    ) -> list[str]:
        """Accept all or none, in one transaction; ids in order."""
        return await self._accept([self._new_run(each, tags=tags, tenant=tenant) for each in work])

    async def _accept(self, runs: Sequence[NewRun]) -> list[str]:
        mark("before:enqueue")
        ids = await self._store.enqueue(runs)
        mark("after:enqueue")
        return ids

    def _new_run(
        self,
        work: Runnable | Workflow,
        *,
        unique_key: str | None = None,
        delay: timedelta | float | str | None = None,
        tags: Sequence[str] = (),
        tenant: str = "",
        params: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> NewRun:
        now = self._clock.now()
        if isinstance(work, Workflow):
            definition, key, encoded = self._workflow(work)
            given, options = work.check_params(params or {}), None
        else:
            info = job_info(work)
            if params:
                raise InvalidInput(info.key, ["params are for workflows; a job's inputs are its fields"])
            definition, key, encoded = self._job(info)
            given, options = info.encode(work), info.options
        inputs = msgspec.json.encode(given)
        if len(inputs) > MAX_ARGUMENTS:
            raise InvalidInput(
                definition.name, [f"inputs of more than {MAX_ARGUMENTS // 1024} KiB: pass large data as an Artifact"]
            )
        run = Run(
            id=self._ids.run_id(now),
            name=definition.name,
            kind=definition.kind,
            definition=key,
            params=given,
            tenant=tenant,
            tags=tuple(tags),
            queue=queue or (options.queue if options else "default"),
            priority=priority if priority is not None else (options.priority if options else 0),
            idempotency_key=unique_key,
            refers_to=tuple(sorted(writers_in(inputs) | writers_in(encoded))),
            created_at=now,
            not_before=0.0 if delay is None else now + _seconds(delay, "delay"),
        )
        return NewRun(run=run, definition=encoded)

    def _workflow(self, workflow: Workflow) -> tuple[Definition, str, bytes]:
        definition = workflow.definition(self._app)
        return definition, definition.hash(), definition.encoded()

    def _job(self, info: JobInfo) -> tuple[Definition, str, bytes]:
        if info.container is not None:  # each is a job by itself
            definition = job_definition(info, self._app)
            return definition, definition.hash(), definition.encoded()
        if info.source not in self._definitions:
            definition = job_definition(info, self._app)
            self._definitions[info.source] = definition, definition.hash(), definition.encoded()
        return self._definitions[info.source]

    # -- change -------------------------------------------------------------------------------------------------

    async def cancel(self, run_id: str) -> bool:
        """Ask for a run to be cancelled. False: it is final already."""
        await self.run(run_id)
        mark("before:cancel")
        asked = await self._store.request_cancel(run_id, self._clock.now())
        mark("after:cancel")
        return asked

    async def rerun(self, run_id: str) -> str:
        """A new run of the same snapshot with the same parameters; the old one is left as it is. Returns the new id."""
        old = await self.run(run_id)
        encoded = await self._store.get_definition(old.definition)
        if encoded is None:
            raise KlassdError(f"run {run_id} cannot be run again: its definition {old.definition} is gone")
        now = self._clock.now()
        run = Run(
            id=self._ids.run_id(now),
            name=old.name,
            kind=old.kind,
            definition=old.definition,
            params=old.params,
            tenant=old.tenant,
            tags=old.tags,
            queue=old.queue,
            priority=old.priority,
            rerun_of=old.id,
            refers_to=old.refers_to,
            created_at=now,
        )
        return (await self._accept([NewRun(run=run, definition=encoded)]))[0]

    async def prune(self, older_than: timedelta | float | str, limit: int = 100) -> int:
        """Remove up to ``limit`` of the runs that finished longer ago than that (seconds, "30d" or a timedelta), the oldest
        first, with their consoles, outputs and artifacts. Returns how many there were: 0 when none is left. Schedulers do it by
        themselves, see the setting ``retention``.

        Raises ``ArtifactError`` where artifacts cannot be removed; their runs stay, then.
        """
        return await prune(self._store, self._delete_artifacts, self._before(older_than), limit)

    # -- look ---------------------------------------------------------------------------------------------------

    async def finished(self, older_than: timedelta | float | str, limit: int = 100) -> list[Run]:
        """What ``prune`` would remove."""
        return await self._store.finished(self._before(older_than), limit)

    def _before(self, older_than: timedelta | float | str) -> float:
        return self._clock.now() - _seconds(older_than, "older_than")

    async def run(self, run_id: str) -> Run:
        """Raises ``UnknownName``."""
        run = await self._store.get_run(run_id)
        if run is None:
            raise UnknownName("run", run_id)
        return run

    async def is_looked_after(self, run_id: str) -> bool:
        """Whether a scheduler has taken the run and is there still: what befalls it is noticed now, and not only by the next
        one. Raises ``UnknownName``."""
        owner = (await self.run(run_id)).owner
        return owner is not None and await self._store.is_live(owner)

    async def view(self, run_id: str) -> RunView:
        """A run with its nodes and every attempt."""
        run = await self.run(run_id)
        encoded = await self._store.get_definition(run.definition)
        if encoded is None:
            raise KlassdError(f"run {run_id} cannot be shown: its definition {run.definition} is gone")
        definition = definition_from(encoded)
        rows = {row.name: row for row in await self._store.list_nodes(run_id)}
        by_node: dict[str, list[Execution]] = {node.name: [] for node in definition.nodes}
        async for execution in self.executions(run_id):
            by_node[execution.node].append(execution)
        nodes = [_node_view(node, rows.get(node.name), by_node[node.name]) for node in definition.nodes]
        return RunView(run=run, definition=definition, nodes=nodes)

    async def executions(self, run_id: str, node: str | None = None) -> AsyncIterator[Execution]:
        after: str | None = None
        while True:
            page = await self._store.list_executions(ExecutionQuery(run_id=run_id, node=node, limit=ALL, after=after))
            for execution in page.items:
                yield execution
            if (after := page.next) is None:
                return

    async def execution(self, execution_id: str) -> Execution:
        """Raises ``UnknownName``."""
        execution = await self._store.get_execution(execution_id)
        if execution is None:
            raise UnknownName("execution", execution_id)
        return execution

    async def runs(self, query: RunQuery | None = None) -> Page[Run]:
        """Newest first."""
        return await self._store.list_runs(query or RunQuery())

    async def counts(self) -> Counts:
        return await self._store.counts()

    async def log(self, execution_id: str, first_line: int = 1, limit: int = 1000) -> list[LogLine]:
        """Lines of an execution's console, from ``first_line`` (counted from 1)."""
        return await self._store.read_log(execution_id, first_line, limit)

    async def resolve_id(self, text: str) -> str:
        """The id meant by "last", or by the beginning or end of an id. Raises ``UnknownName`` with what fits."""
        if text == "last":
            page = await self._store.list_runs(RunQuery(limit=1))
            if not page.items:
                raise UnknownName("run", text)
            return page.items[0].id
        found = await self._store.find_runs(text)
        if text in found or len(found) == 1:
            return text if text in found else found[0]
        raise UnknownName("run", text, found)

    # -- wait ---------------------------------------------------------------------------------------------------

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once, then whenever something may have changed, and every second at least."""
        async with self._wake() as wake:
            while True:
                wake.clear()
                yield
                await wake.wait(POLL)

    async def wait(self, run_id: str) -> Run:
        """Until the run is final. Raises ``UnknownName``."""
        async with self._wake() as wake:
            while True:
                wake.clear()
                run = await self.run(run_id)
                if run.status.final:
                    return run
                await wake.wait(POLL)

    @asynccontextmanager
    async def _wake(self) -> AsyncIterator[Wake]:
        wake = Wake(self._store)
        listening = self._spawner.spawn(wake.listen(), "hints")
        try:
            yield wake
        finally:
            listening.cancel()


def _node_view(node: Node, row: NodeRow | None, executions: list[Execution]) -> NodeView:
    """A node without a row is pending or, where it has executions, running."""
    status = row.status if row else (NodeStatus.RUNNING if executions else NodeStatus.PENDING)
    return NodeView(name=node.name, status=status, node=node, row=row, executions=executions)


def _seconds(said: timedelta | float | str, what: str) -> float:
    return said.total_seconds() if isinstance(said, timedelta) else seconds(said, what)


__all__ = ["Client", "NodeView", "Page", "RunQuery", "RunStatus", "RunView", "Runnable", "Step", "timeline"]

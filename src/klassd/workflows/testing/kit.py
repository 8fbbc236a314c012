"""``run_job`` and ``run_workflow``: jobs and whole workflows in a plain test, in virtual time.

The engine is the real one, and so are its rules and the checks of inputs and outputs; only the store (in memory), the
processes (this one) and time are made for tests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.client import Client, NodeView, RunView
from klassd.workflows.composition import call_condition
from klassd.workflows.engine.scheduler import Scheduler
from klassd.workflows.job import job_info
from klassd.workflows.model.execution import Finished
from klassd.workflows.model.run import Execution
from klassd.workflows.options import seconds
from klassd.workflows.order import Order
from klassd.workflows.rules.lifecycle import Verdict, verdict
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import TaskSpawner, make_run_id
from klassd.workflows.testing.clock import START, VirtualClock, run_virtual
from klassd.workflows.testing.inline import InlineExecution, InlineExecutor
from klassd.workflows.testing.memory import MemoryArtifacts
from klassd.workflows.testing.results import JobResult, NodeResult, WorkflowResult
from klassd.workflows.testing.script import Script
from klassd.workflows.wake import Wake

if TYPE_CHECKING:
    from klassd.workflows.app import App
    from klassd.workflows.client import Runnable
    from klassd.workflows.workflow import Workflow

LEASE = 30 * 86400.0  # seconds: nobody else is there to take a run, and every renewal is a step of the virtual clock
POLL = 3600.0  # virtual seconds; the store in memory loses no hint
Artifacts = ArtifactStore | str | os.PathLike[str] | None


class CountingIds:
    """``ports.Ids`` without chance: the same test gives the same ids."""

    def __init__(self) -> None:
        self._count = 0

    def run_id(self, now: float) -> str:
        self._count += 1
        return make_run_id(now, self._count)

    def token(self) -> str:
        self._count += 1
        return f"{self._count:032x}"


def run_job(
    job: Runnable,
    *,
    services: Mapping[type, Any] | None = None,
    app: App | None = None,
    artifacts: Artifacts = None,
    attempt: int = 1,
    tenant: str = "",
    tags: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    stop_after: str | float | None = None,
) -> JobResult:
    """Run one execution of a job, through the checks and conversions it meets in production, and say what it came to.

    The inputs go to JSON and back, the output to JSON; the class's ``timeout`` and ``grace`` hold in virtual time; retries
    are the engine's, see ``run_workflow``. ``services``: by type, what ``run`` takes besides the context; what is not there
    comes from ``app``. ``artifacts``: a directory, URL or store; in memory if not given. ``stop_after``: seconds or "5m",
    after which it is asked to stop.

    A job's own failure is a result, not an exception. Raises InvalidInput for inputs that could not be enqueued.
    """
    info = job_info(job)
    order = Order(
        execution_id=f"run-0-0-{attempt}",
        run_id="run",
        node=info.name,
        attempt=attempt,
        job=info.key,
        source=info.key,
        inputs=info.encode(job),
        timeout=info.options.timeout,
        grace=info.options.grace,
        tenant=tenant,
        tags=tuple(tags),
        idempotency_key="run-0-0",
        fencing_token=1000 + attempt,
        config=dict(config or {}),
    )

    async def run() -> JobResult:
        clock = VirtualClock()
        executor = InlineExecutor(
            clock, services=services, app=app, jobs={info.key: info}, artifacts=_artifact_store(artifacts)
        )
        await executor.open()
        try:
            return await _one(executor, clock, order, stop_after)
        finally:
            await executor.close()

    return run_virtual(run())


def run_workflow(
    workflow: Workflow | Runnable,
    *,
    params: Mapping[str, Any] | None = None,
    services: Mapping[type, Any] | None = None,
    app: App | None = None,
    artifacts: Artifacts = None,
    stubs: Mapping[str, Any] | None = None,
    fail: Mapping[str, int | BaseException] | None = None,
    kill: Mapping[str, int] | None = None,
    cancel_after: str | float | None = None,
    concurrency: int = 100,
    config: Mapping[str, Any] | None = None,
    tenant: str = "",
    tags: Sequence[str] = (),
    start: float = START,
    within: str | float = "1d",
) -> WorkflowResult:
    """Run a workflow (or a job, with its retries) to its end on the real engine, in virtual time.

    By the name of a node, or ``"node[2]"`` for one item of a fan-out:
    ``stubs``: what stands in for the node's job, a value or a function of (job, ctx), sync or async;
    ``fail``: how many first attempts raise, or the exception that every attempt raises;
    ``kill``: how many first attempts die of signal 9.

    ``services``, ``app``, ``artifacts``: as of ``run_job``. ``cancel_after``: seconds or "5m" until the run is cancelled.
    ``concurrency``: how many executions run at once. ``start``: the wall time, seconds since the epoch. ``within``: raises
    TimeoutError with what is still under way when the run takes longer, in virtual time.

    Raises InvalidWorkflow and InvalidInput as ``enqueue`` does, UnknownName for a node that is not there.
    """
    script = Script(fail or {}, kill or {}, stubs or {})

    async def run() -> WorkflowResult:
        clock, ids = VirtualClock(start), CountingIds()
        store = MemoryStore(clock=clock)
        executor = InlineExecutor(
            clock,
            script=script,
            services=services,
            app=app,
            artifacts=_artifact_store(artifacts),
            concurrency=concurrency,
        )
        scheduler = Scheduler(
            store,
            executor,
            clock=clock,
            ids=ids,
            spawner=TaskSpawner(),
            call=call_condition,
            config=dict(config or {}),
            lease=LEASE,
            poll=POLL,
        )
        async with Client(store, clock, ids, TaskSpawner()) as client:
            run_id = await client.enqueue(workflow, params=params, tenant=tenant, tags=tags)
            script.check([node.name for node in (await client.view(run_id)).definition.nodes])
            async with scheduler:
                await _end_of(client, store, clock, run_id, cancel_after, seconds(within, "within"))
            return await _result(client, executor, run_id, start)

    return run_virtual(run())


# -- one execution ------------------------------------------------------------------------------------------------


async def _one(executor: InlineExecutor, clock: VirtualClock, order: Order, stop_after: str | float | None) -> JobResult:
    await executor.launch(order)
    spawner = TaskSpawner()
    if stop_after is not None:
        spawner.spawn(_stop(executor, clock, order, seconds(stop_after, "stop_after")), "stop")
    try:
        async for batch in executor.follow(order.execution_id, "", 0, 1):
            for told in batch:
                if isinstance(told, Finished):
                    return _job_result(executor.executions[order.execution_id], verdict(told, False))
    finally:
        await spawner.close()
    raise AssertionError("an execution's story always ends with Finished")


async def _stop(executor: InlineExecutor, clock: VirtualClock, order: Order, after: float) -> None:
    await clock.sleep(after)
    await executor.stop(order.execution_id, order.grace)


def _job_result(execution: InlineExecution, came: Verdict) -> JobResult:
    end = execution.end
    return JobResult(
        status=came.status,
        output=came.output,
        outputs=dict(came.outputs),
        cause=came.cause,
        error=came.message,
        exception=execution.came.exception,
        retry=came.retry,
        warnings=came.warnings,
        console=execution.context.console,
        bars=execution.context.bars,
        node=execution.order.node,
        attempt=execution.order.attempt,
        started_at=end.started_at - START if end else None,
        finished_at=end.finished_at - START if end else None,
    )


def _artifact_store(artifacts: Artifacts) -> ArtifactStore:
    if isinstance(artifacts, str | os.PathLike):
        return store_for(os.fspath(artifacts))
    return artifacts or MemoryArtifacts()


# -- a whole run --------------------------------------------------------------------------------------------------


async def _end_of(
    client: Client, store: MemoryStore, clock: VirtualClock, run_id: str, cancel_after: str | float | None, within: float
) -> None:
    spawner, wake = TaskSpawner(), Wake(store)
    if cancel_after is not None:
        spawner.spawn(_cancel(client, clock, run_id, seconds(cancel_after, "cancel_after")), "cancel")
    spawner.spawn(wake.listen(), "hints")
    await clock.sleep(0)  # from here on it hears every hint of this store, so that nothing need be looked at twice
    try:
        while not (await client.run(run_id)).status.final:
            wake.clear()
            await wake.wait(within - clock.monotonic())
            if clock.monotonic() >= within:
                raise TimeoutError(_still_under_way(await client.view(run_id), within))
    finally:
        await spawner.close()


async def _cancel(client: Client, clock: VirtualClock, run_id: str, after: float) -> None:
    await clock.sleep(after)
    await client.cancel(run_id)


def _still_under_way(view: RunView, within: float) -> str:
    nodes = ", ".join(f"{node.name} ({node.status})" for node in view.nodes if not node.status.final)
    return f"{view.run.name} has not ended within {within:g} s of virtual time; under way: {nodes or 'nothing'}"


async def _result(client: Client, executor: InlineExecutor, run_id: str, start: float) -> WorkflowResult:
    view = await client.view(run_id)
    run = view.run
    nodes = {node.name: await _node_result(client, executor, node, start) for node in view.nodes}
    elapsed = (run.finished_at or run.created_at) - run.created_at
    return WorkflowResult(status=run.status, output=run.output, error=run.error, nodes=nodes, elapsed=elapsed)


async def _node_result(client: Client, executor: InlineExecutor, node: NodeView, start: float) -> NodeResult:
    executions = [await _stored_result(client, executor, execution, start) for execution in node.executions]
    return NodeResult(name=node.name, status=node.status, output=node.output, error=node.error, executions=executions)


async def _stored_result(client: Client, executor: InlineExecutor, stored: Execution, start: float) -> JobResult:
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
        console=await client.log(stored.id, limit=max(1, stored.log_lines)),
        bars=stored.progress,
        node=stored.node,
        index=stored.index,
        attempt=stored.attempt,
        started_at=None if stored.started_at is None else stored.started_at - start,
        finished_at=None if stored.finished_at is None else stored.finished_at - start,
    )

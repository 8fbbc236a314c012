"""``run_job`` and ``run_workflow``: one execution, or a whole run, in one call and in virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from klassd.workflows.job import job_info
from klassd.workflows.model.execution import Finished
from klassd.workflows.options import seconds
from klassd.workflows.order import Order
from klassd.workflows.rules.lifecycle import Verdict, verdict
from klassd.workflows.system import TaskSpawner
from klassd.workflows.testing.clock import START, VirtualClock, run_virtual
from klassd.workflows.testing.inline import InlineExecution, InlineExecutor
from klassd.workflows.testing.results import JobResult, WorkflowResult
from klassd.workflows.testing.script import Kills
from klassd.workflows.testing.virtual_engine import Artifacts, VirtualEngine, artifact_store

if TYPE_CHECKING:
    from klassd.workflows.app import App
    from klassd.workflows.client import Runnable
    from klassd.workflows.workflow import Workflow


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
        container=info.container,
    )

    async def run() -> JobResult:
        clock = VirtualClock()
        executor = InlineExecutor(clock, services=services, app=app, jobs={info.key: info}, artifacts=artifact_store(artifacts))
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
    kill: Mapping[str, Kills] | None = None,
    cancel_after: str | float | None = None,
    concurrency: int = 100,
    config: Mapping[str, Any] | None = None,
    tenant: str = "",
    tags: Sequence[str] = (),
    start: datetime | float = START,
    within: str | float = "1d",
) -> WorkflowResult:
    """Run a workflow (or a job, with its retries) to its end on the real engine, in virtual time.

    ``stubs``, ``fail``, ``kill``, ``services``, ``app``, ``artifacts``, ``config``, ``concurrency``, ``start``: as of
    ``VirtualEngine``. ``params``, ``tenant``, ``tags``: as of ``Client.enqueue``. ``cancel_after``: seconds or "5m" until the
    run is cancelled. ``within``: raises TimeoutError with what is still under way when the run takes longer, in virtual time.

    Raises InvalidWorkflow and InvalidInput as ``enqueue`` does, UnknownName for a node that is not there.
    """
    limit = seconds(within, "within")
    engine = VirtualEngine(
        app,
        services=services,
        artifacts=artifacts,
        stubs=stubs,
        fail=fail,
        kill=kill,
        concurrency=concurrency,
        config=config,
        start=start,
    )
    with engine:
        run = engine.enqueue(workflow, params=params, tenant=tenant, tags=tags)
        engine.check_script()
        if cancel_after is not None:
            wait = min(limit, seconds(cancel_after, "cancel_after"))
            engine.advance(seconds=wait)
            engine.cancel(run)
            limit -= wait
        return engine.finish(run, within=limit)


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

"""An execution on a cluster, real or not, from its launch to what it came to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from cluster_help import Cluster

from klassd.workflows import Pod, Resources
from klassd.workflows.job_options import needs_of
from klassd.workflows.order import Order
from klassd.workflows.pods import PodShape
from klassd.workflows.ports import Executor
from klassd.workflows.rules.lifecycle import Verdict, verdict
from klassd.workflows.testing.executors import Heard, hear, opened, order, run

PATIENCE = 180.0  # seconds


def ours(
    job: str, inputs: dict[str, Any] | None = None, pod: Pod | None = None, resources: Resources | None = None, **more: Any
) -> Order:
    shape = pod.shape if pod else PodShape()
    if resources:
        shape = msgspec.structs.replace(shape, resources=needs_of(resources))
    return order(job, inputs, module="cluster_jobs", pod=shape, **more)


def told(
    cluster: Cluster,
    wanted: Order,
    meanwhile: Callable[[Executor], Awaitable[None]] | None = None,
    *,
    patience: float = PATIENCE,
    after: str = "",
    **said: Any,
) -> Heard:
    """Launch and hear it to its end. ``meanwhile``: what happens once it is launched, and its console showed ``after``: to this
    very follower, as what another one hears may not be told to it any more where the pod is gone. ``said``: settings of the
    executor."""

    spoken = asyncio.Event()

    def heed(heard: Heard) -> None:
        if any(after in line for line in heard.lines):
            spoken.set()

    async def check() -> Heard:
        async with opened(cluster.executor(**said)) as executor:
            await executor.launch(wanted)
            hearing = asyncio.create_task(hear(executor, wanted.execution_id, heed=heed))
            if meanwhile:
                if after:
                    await spoken.wait()
                await meanwhile(executor)
            heard = await hearing
            await executor.reap(wanted.execution_id)
            return heard

    return run(check, patience)


def came_to(heard: Heard, *, stop_requested: bool = False) -> Verdict:
    return verdict(heard.finished, stop_requested)


def sleeping(cluster: Cluster, wanted: Order, then: Callable[[], object]) -> Heard:
    """Hear it to its end, and do something once it sleeps."""

    async def meanwhile(executor: Executor) -> None:
        await asyncio.to_thread(then)

    return told(cluster, wanted, meanwhile, after="sleeping")


def alive(pod: dict[str, Any]) -> bool:
    return pod["status"].get("phase") not in ("Succeeded", "Failed")

"""Services as the kubelet sees them: it asks at their port, whatever image they are, and says so of their pod."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from klassd.workflows.executors.kubernetes.names import ASKED
from klassd.workflows.executors.kubernetes.seen import began, condition
from klassd.workflows.executors.kubernetes.timestamps import epoch
from klassd.workflows.executors.kubernetes.view import Known
from klassd.workflows.model.execution import Ready, Told


def is_asked(known: Known) -> bool:
    """Its pod has a readiness probe: of another one it says nothing that it is ready."""
    return any(item is not None and ASKED in (item["metadata"].get("annotations") or {}) for item in (known.job, known.last))


async def with_readiness(known: Known, told: AsyncGenerator[Sequence[Told], None]) -> AsyncIterator[Sequence[Told]]:
    """The same, and once in between, at once, that its pod is ready."""
    ready = asyncio.create_task(_until_ready(known), name="readiness")
    reading = asyncio.create_task(_next(told), name="reading")
    waited: set[asyncio.Task[Any]] = {ready, reading}
    try:
        while True:
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if ready in done:
                waited.remove(ready)
                yield [ready.result()]
            if reading in done:
                if (batch := reading.result()) is None:
                    return
                yield batch
                waited.remove(reading)
                reading = asyncio.create_task(_next(told), name="reading")
                waited.add(reading)
    finally:
        for task in (ready, reading):
            task.cancel()
        await asyncio.gather(ready, reading, return_exceptions=True)
        await told.aclose()


async def _next(told: AsyncGenerator[Sequence[Told], None]) -> Sequence[Told] | None:
    return await anext(told, None)


async def _until_ready(known: Known) -> Ready:
    while True:
        changed = known.changed
        if known.last is not None and (host := ready_at(known.last)):
            return Ready(at=time.time(), host=host)
        await changed.wait()


def been_ready(pod: Mapping[str, Any]) -> bool:
    """Whether it is or ever was: its condition then has changed since its container was started."""
    if condition(pod, "Ready"):
        return True
    unready, since = condition(pod, "Ready", "False"), began(pod)
    return unready is not None and since is not None and (epoch(unready.get("lastTransitionTime")) or 0.0) > since


def ready_at(pod: Mapping[str, Any]) -> str:
    """The address of a pod that is ready; "" of any other."""
    return str(pod["status"].get("podIP") or "") if condition(pod, "Ready") else ""

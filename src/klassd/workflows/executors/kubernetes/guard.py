"""Beside a follower: ends what must not go on, at once, also while its console is being read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from klassd.workflows.executors.kubernetes.names import START_DEADLINE, TOO_LATE
from klassd.workflows.executors.kubernetes.seen import stopped
from klassd.workflows.executors.kubernetes.sight import seconds as timestamp
from klassd.workflows.executors.kubernetes.view import Known

log = logging.getLogger("klassd.workflows")

AGAIN = 2.0  # seconds after a request that had no answer


async def guard(known: Known, end: Callable[[str | None], Awaitable[None]]) -> None:
    """``end``: the Job wants no pod any more; its argument says why, None where it is not ours to say."""
    while True:
        changed = known.changed
        try:
            if known.doomed:
                await end(None)
            elif (left := _left(known)) is not None and left <= 0:
                await end(TOO_LATE)
        except OSError as error:
            log.warning("a pod that must not be replaced: %s", error)
            await asyncio.sleep(AGAIN)
            continue
        await _wait(changed, _left(known))


def _left(known: Known) -> float | None:
    """Seconds until its pod is late; None where there is no such deadline, or it has begun."""
    job = known.job
    if job is None or stopped(job) or known.seen.running:
        return None
    seconds = (job["metadata"].get("annotations") or {}).get(START_DEADLINE)
    if seconds is None:
        return None
    return timestamp(job["metadata"]["creationTimestamp"]) + float(seconds) - time.time()


async def _wait(changed: asyncio.Event, left: float | None) -> None:
    try:
        async with asyncio.timeout(None if left is None else max(left, 0.05)):
            await changed.wait()
    except TimeoutError:
        return

"""Beside a follower: ends what must not go on, at once, also while its console is being read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from klassd.workflows.executors.kubernetes.names import (
    NOT_READY,
    READY_WITHIN,
    START_DEADLINE,
    TIMED_OUT,
    TIMEOUT,
    TOO_LATE,
)
from klassd.workflows.executors.kubernetes.readiness import been_ready
from klassd.workflows.executors.kubernetes.seen import began, collecting, stopped, suspended, unread_since
from klassd.workflows.executors.kubernetes.timestamps import epoch
from klassd.workflows.executors.kubernetes.timestamps import seconds as timestamp
from klassd.workflows.executors.kubernetes.view import Known, Object

log = logging.getLogger("klassd.workflows")

AGAIN = 2.0  # seconds after a request that had no answer


async def guard(known: Known, end: Callable[[str | None], Awaitable[None]]) -> None:
    """``end``: the Job wants no pod any more; its argument says why, None where it is not ours to say."""
    while True:
        changed = known.changed
        try:
            if known.doomed:
                await end(None)
            elif (due := _due(known)) is not None and due[0] <= 0:
                await end(due[1])
        except OSError as error:
            log.warning("a pod that must not be replaced: %s", error)
            await asyncio.sleep(AGAIN)
            continue
        await _wait(changed, _due(known))


def _due(known: Known) -> tuple[float, str] | None:
    """Seconds until it must end, and why: its pod is late; or an image has run too long, or is not ready in time, which a
    worker sees to itself."""
    job = known.job
    if job is None or stopped(job):
        return None
    deadlines = job["metadata"].get("annotations") or {}
    if not known.seen.running:
        return None if suspended(job) else _left(_let_go(job), deadlines.get(START_DEADLINE), TOO_LATE)
    if collecting(known.last):
        return _left(unread_since(known.last), deadlines.get(START_DEADLINE), TOO_LATE)
    since = began(known.last)
    own = (_left(since, deadlines.get(TIMEOUT), TIMED_OUT), _ready_by(known, since, deadlines.get(READY_WITHIN)))
    return min((due for due in own if due is not None), default=None)


def _let_go(job: Object) -> float:
    """When it was made; or later, when a queue did not hold it back any more."""
    made = timestamp(job["metadata"]["creationTimestamp"])
    return max(made, epoch(job["status"].get("startTime")) or made)


def _ready_by(known: Known, since: float | None, seconds: str | None) -> tuple[float, str] | None:
    return None if known.last is None or been_ready(known.last) else _left(since, seconds, NOT_READY)


def _left(since: float | None, seconds: str | None, why: str) -> tuple[float, str] | None:
    return None if seconds is None or since is None else (since + float(seconds) - time.time(), why)


async def _wait(changed: asyncio.Event, due: tuple[float, str] | None) -> None:
    try:
        async with asyncio.timeout(None if due is None else max(due[0], 0.05)):
            await changed.wait()
    except TimeoutError:
        return

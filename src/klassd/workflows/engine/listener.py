"""Hears what an execution says, to its end, and what that means for its row and its run."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar

from klassd.workflows.crashes import mark
from klassd.workflows.engine.keeping import Keeping
from klassd.workflows.engine.live import Live
from klassd.workflows.engine.unknown import given_up, stays_unknown
from klassd.workflows.errors import StoreError
from klassd.workflows.model.execution import Exit, Finished, Output, Progress, Ready, Started, Told, Unknown, Waiting
from klassd.workflows.model.run import LogChunk
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.rules import inputs, lifecycle
from klassd.workflows.rules.advance import TaskReady

log = logging.getLogger("klassd.workflows")

REREAD = 1.0  # seconds before a console that could not be read is tried again
LOCAL = "127.0.0.1"  # where a service is whose executor does not say

T = TypeVar("T", Finished, Ready)


async def follow(keeper: Keeping, live: Live, resumed: bool) -> None:
    """To its end. Trouble in reading is ours, not the job's: read on from what is stored."""
    while keeper.current(live):
        try:
            cursor = await keeper.deps.store.log_cursor(live.id) if resumed else ("", 0, 1)
            live.lines = cursor[2] - 1
            mark("before:follow")
            async for batch in _told(keeper, live, cursor):
                heard(keeper, live, batch)
                mark("after:heard")
                await keeper.pipeline.room()
        except (OSError, StoreError) as error:
            log.warning("execution %s cannot be read, trying again in %g s: %s", live.id, REREAD, error)
            await keeper.pipeline.flushed()
            await keeper.deps.clock.sleep(REREAD)
        resumed = True


def _told(keeper: Keeping, live: Live, cursor: tuple[str, int, int]) -> AsyncIterator[Sequence[Told]]:
    return _lost(live.gone, keeper.deps.clock.now()) if live.gone else keeper.deps.executor.follow(live.id, *cursor)


async def _lost(message: str, now: float) -> AsyncIterator[Sequence[Told]]:
    yield [Finished(exit=Exit(reason=Cause.LOST, message=message), at=now)]


def heard(keeper: Keeping, live: Live, batch: Sequence[Told]) -> None:
    if not keeper.current(live):
        return
    live.course.hear(batch)
    said: dict[str, Any] = {}
    logs: list[tuple[str, LogChunk]] = []
    for told in batch:
        if isinstance(told, Output):
            logs.append((live.id, told.chunk))
            live.lines = told.chunk.first_line + told.chunk.lines - 1
        else:
            said.update(_said(keeper, live, told))
    if finished := _first(batch, Finished):  # though it was ready for a moment: nobody has heard of it
        live.unknown = None  # it is known: it has ended
        keeper.finish(live, finished, said, tuple(logs))
    elif ready := is_ready(live, batch):
        live.status = said["status"] = lifecycle.step(live.status, "ready")
        keeper.decide(ready, (live.patch(**said),), tuple(logs))
    elif said or logs:
        keeper.record((live.patch(**said),) if said else (), tuple(logs))


def _said(keeper: Keeping, live: Live, told: Told) -> dict[str, Any]:
    """What it changes of the execution's row."""
    if isinstance(told, Started):
        return _started(live, told)
    if isinstance(told, Waiting):
        live.hold(told.held, keeper.deps.clock.now())
        return live.waits(told.why)
    if isinstance(told, Unknown):
        return _unknown(keeper, live, told)
    return live.show(told.bars) if isinstance(told, Progress) else {}


def _started(live: Live, told: Started) -> dict[str, Any]:
    if live.started_at is not None:
        return {}
    live.started_at = told.at
    live.hold(False, told.at)
    live.status = lifecycle.step(live.status, "started")
    return {"status": live.status, "started_at": told.at} | live.waits_no_more()


def is_ready(live: Live, batch: Sequence[Told]) -> TaskReady | None:
    """What it means, for a service that was not ready before."""
    service, told = live.node.service, _first(batch, Ready)
    if service is None or told is None or live.status not in (ExecutionStatus.STARTING, ExecutionStatus.RUNNING):
        return None
    address = inputs.joined(told.host or LOCAL, told.port or service.port or None)
    return TaskReady(live.task[0], live.attempt, address)


def _unknown(keeper: Keeping, live: Live, told: Unknown) -> dict[str, Any]:
    if told.since == live.unknown:
        return {}
    live.unknown = told.since
    if told.since is None:
        return live.waits_no_more()
    if (patience := live.node.options.lost_after) is not None:
        keeper.spawn(_give_up(keeper, live, told, patience), live.id)
    live.waiting = told.why
    return {"waiting": told.why}


async def _give_up(keeper: Keeping, live: Live, told: Unknown, patience: float) -> None:
    deps = keeper.deps
    lost = await stays_unknown(deps.executor, deps.clock, live.id, told, patience)
    if lost and keeper.current(live) and live.unknown == told.since:
        if live.following:
            live.following.cancel()
        keeper.finish(live, given_up(told, patience, deps.clock.now()))


def _first(batch: Iterable[Told], kind: type[T]) -> T | None:
    return next((told for told in batch if isinstance(told, kind)), None)

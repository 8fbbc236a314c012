"""Asks the executor to stop an execution, and to forget it, until that is done."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from klassd.workflows.crashes import mark
from klassd.workflows.engine.keeping import Keeping
from klassd.workflows.engine.live import Live

log = logging.getLogger("klassd.workflows")

AGAIN = 1.0  # seconds before an executor that did not answer is asked again
INSIST = 5.0  # seconds after the grace before a stop is asked for again


async def insist(keeper: Keeping, live: Live, grace: float | None = None) -> None:
    """Ask until it is dead: a request can be lost with whoever held it."""
    deps, grace = keeper.deps, live.node.options.grace if grace is None else grace
    await live.launched.wait()
    await deps.lease.held()  # else it may be another's by now, and doing well
    while keeper.current(live):
        mark("before:stop")
        await until_answered(keeper, "stop", live, lambda: deps.executor.stop(live.id, grace))
        mark("after:stop")
        await deps.clock.sleep(grace + INSIST)
        await deps.lease.held()


async def watch_start(keeper: Keeping, live: Live, deadline: float) -> None:
    """From now on, but for the time that others hold it back."""
    clock = keeper.deps.clock
    due = clock.now() + deadline
    while live.freed or (left := due + live.held_for - clock.now()) > 0:
        await (live.freed.wait() if live.freed else clock.sleep(left))
    if keeper.current(live) and live.started_at is None:
        live.late = True
        await insist(keeper, live, grace=0.0)


def reap(keeper: Keeping, live: Live) -> None:
    keeper.spawn(until_answered(keeper, "reap", live, lambda: keeper.deps.executor.reap(live.id)), f"reap {live.id}")


async def until_answered(keeper: Keeping, verb: str, live: Live, ask: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await ask()
        except OSError as error:
            log.warning("execution %s: no answer to its %s, trying again in %g s: %s", live.id, verb, AGAIN, error)
            await keeper.deps.clock.sleep(AGAIN)

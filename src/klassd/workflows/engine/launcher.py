"""Hands an execution to the executor, until that has it or it can never start."""

from __future__ import annotations

import logging

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.engine import ends, stopper
from klassd.workflows.engine.arming import armed, claims_starts
from klassd.workflows.engine.keeping import Keeping
from klassd.workflows.engine.live import Live
from klassd.workflows.engine.stopper import AGAIN
from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.model.execution import Exit, Finished
from klassd.workflows.model.states import Cause
from klassd.workflows.order import Order
from klassd.workflows.rules import inputs, pods

log = logging.getLogger("klassd.workflows")


async def launch(keeper: Keeping, live: Live) -> Finished | None:
    """The end of it where it can never start. What runs perhaps, only its executor can end."""
    if live.stop_requested:
        return None if live.adopted else ends.never_started()
    try:
        order = await _armed(keeper, live, order_of(keeper, live))
    except inputs.ResolveError as error:
        return Finished(exit=Exit(reason=Cause.INPUT, message=str(error)), at=keeper.deps.clock.now())
    if live.node.options.start_deadline is not None:
        keeper.spawn(stopper.watch_start(keeper, live, live.node.options.start_deadline), live.id)
    return await _until_launched(keeper, live, order)


async def _until_launched(keeper: Keeping, live: Live, order: Order) -> Finished | None:
    while True:
        try:
            await _in_turn(keeper, order)
            return None
        except LaunchRefused as error:
            return Finished(exit=Exit(reason=Cause.LAUNCH, message=str(error)), at=keeper.deps.clock.now())
        except LaunchDelayed as delayed:
            if live.late or live.stop_requested:
                return None  # an order may be under way still: only its follower can make sure that it starts nothing
            log.warning("execution %s cannot start now, trying again in %.2g s: %s", live.id, delayed.retry_after, delayed)
            _tell_waits(keeper, live, str(delayed))
            await keeper.deps.clock.sleep(delayed.retry_after)
        except OSError as error:
            if live.late or live.stop_requested:
                return None  # it may have been started: its follower finds out
            log.warning("execution %s: no answer to its launch, trying again in %g s: %s", live.id, AGAIN, error)
            _tell_waits(keeper, live, str(error))
            await keeper.deps.clock.sleep(AGAIN)


async def _in_turn(keeper: Keeping, order: Order) -> None:
    async with keeper.deps.launching:
        await keeper.deps.lease.held()
        mark("before:launch")
        await keeper.deps.executor.launch(with_expiry(keeper, order))
        mark("after:launch")


def with_expiry(keeper: Keeping, order: Order) -> Order:
    return msgspec.structs.replace(order, expires=keeper.deps.lease.until)


def _tell_waits(keeper: Keeping, live: Live, why: str) -> None:
    if keeper.current(live) and (said := live.waits(why)):
        keeper.record((live.patch(**said),))


async def _armed(keeper: Keeping, live: Live, order: Order) -> Order:
    deps = keeper.deps
    if order.container is not None or not claims_starts(deps.executor):  # an image has nobody to claim it
        return order
    return await armed(order, live.patch(), live.token_hashes, keeper.run.epoch, deps.ids, keeper.pipeline)


def order_of(keeper: Keeping, live: Live) -> Order:
    node, run, deps = live.node, keeper.run, keeper.deps
    index = live.task[1]
    return Order(
        execution_id=live.id,
        run_id=run.id,
        node=node.name,
        index=index,
        attempt=live.attempt,
        job=node.job,
        source=node.source,
        app=keeper.definition.app,
        inputs=inputs.resolve(keeper.state, node.name, index),
        timeout=node.options.timeout,
        grace=node.options.grace,
        start_deadline=node.options.start_deadline,
        tenant=run.tenant,
        tags=run.tags,
        idempotency_key=f"{run.id}-{keeper.ordinal(node.name)}-{index}",
        fencing_token=run.epoch * 1000 + live.attempt,
        config=deps.config,
        artifacts=deps.artifacts,
        nonce=deps.ids.token(),
        version=deps.version,
        service=node.service,
        container=node.container,
        uses_services=node.container is not None and bool(keeper.state.nodes[node.name].keeps),
        pod=pods.asked(node, deps.resources, keeper.state.nodes[node.name].tasks[index].memory),
    )

"""The secret that a worker claims its start with: who hands it out, and what is stored of it."""

from __future__ import annotations

import asyncio

import msgspec

from klassd.workflows.engine.pipeline import Pipeline
from klassd.workflows.model.run import Change, ExecutionPatch, hash_token
from klassd.workflows.order import Order
from klassd.workflows.ports import Executor, Ids


def claims_starts(executor: Executor) -> bool:
    """Asked at every launch: ``isinstance`` of ``ports.ClaimsStarts`` takes 60 us, a twentieth of what a job costs here."""
    return bool(getattr(executor, "claims_starts", False))


async def armed(order: Order, patch: ExecutionPatch, known: tuple[str, ...], epoch: int, ids: Ids, pipeline: Pipeline) -> Order:
    """The order with a secret of 256 bits whose hash is stored before anybody can have it. ``known``: hashes of before; they
    stay, because an earlier owner's launch may be what the pod comes from, and nobody knows which it will be."""
    token = ids.token() + ids.token()
    stored = asyncio.Event()
    added = msgspec.structs.replace(patch, token_hashes=(*known, hash_token(token)))
    pipeline.add(Change(run_id=order.run_id, epoch=epoch, updated=(added,)), [stored.set])
    await stored.wait()
    return msgspec.structs.replace(order, claim=token)

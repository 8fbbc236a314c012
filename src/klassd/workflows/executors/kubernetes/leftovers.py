"""What an installation has left in a namespace: found by its labels, and removed.

Nothing of ours has a finalizer, so nothing can hang: what a Job owns goes after it, a pod with its grace. The rights for this
are those of whoever asks; a scheduler does not need them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from klassd.workflows.executors.kubernetes import names
from klassd.workflows.executors.kubernetes.api import CONFIG_MAPS, JOBS, PODS, SECRETS, Api, ApiError
from klassd.workflows.executors.kubernetes.timestamps import seconds

KINDS = {"job": JOBS, "pod": PODS, "secret": SECRETS, "configmap": CONFIG_MAPS}
SCHEDULER = "app.kubernetes.io/name=klassd,app.kubernetes.io/component=scheduler"
AT_ONCE = 16  # deletions under way
AGAIN = 0.5  # seconds between two looks whether all is gone

Object = Mapping[str, Any]


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """A Job, or something of an execution that no Job owns. ``holds``: ``kind/name`` of what goes with it."""

    kind: str
    name: str
    uid: str
    instance: str
    execution: str
    node: str
    state: str
    created: float
    holds: tuple[str, ...] = ()


async def find(api: Api) -> list[Leftover]:
    """Of every installation in the namespace, the oldest first. What Secrets hold is not asked for."""
    selector = f"{names.MANAGED_BY}=klassd,{names.INSTANCE},{names.EXECUTION}"
    answers = await asyncio.gather(*(api.list(path, selector, bare=path in (SECRETS, CONFIG_MAPS)) for path in KINDS.values()))
    items = [(kind, item) for kind, (found, _) in zip(KINDS, answers, strict=True) for item in found]
    jobs = {item["metadata"]["uid"] for kind, item in items if kind == "job"}
    owned: dict[str, list[tuple[str, Object]]] = {}
    for kind, item in items:
        if owner := _owner(item, jobs):
            owned.setdefault(owner, []).append((kind, item))
    found = [_leftover(kind, item, owned.get(item["metadata"]["uid"], ())) for kind, item in items if not _owner(item, jobs)]
    return sorted(found, key=lambda each: (each.created, each.name))


async def schedulers(api: Api, instance: str) -> list[str]:
    """Pods of the namespace that may start more."""
    pods, _ = await api.list(PODS, f"{SCHEDULER},{names.INSTANCE}={names.label_value(instance)}")
    return [pod["metadata"]["name"] for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]


async def remove(api: Api, left: Iterable[Leftover]) -> None:
    """Returns when all are told to go; an object that has the name by now but is another one stays."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(each: Leftover) -> None:
        async with turns:
            await _delete(api, each)

    await asyncio.gather(*map(one, left))


async def still_there(api: Api, left: Sequence[Leftover], patience: float) -> list[Leftover]:
    """Of the executions of these, after that many seconds at most: also a pod that was made only while its Job went."""
    going = {(each.instance, each.execution) for each in left}
    until = asyncio.get_running_loop().time() + patience
    while True:
        remaining = [each for each in await find(api) if (each.instance, each.execution) in going]
        if not remaining or asyncio.get_running_loop().time() >= until:
            return remaining
        await asyncio.sleep(AGAIN)


async def _delete(api: Api, left: Leftover) -> None:
    options = {"propagationPolicy": "Background", "preconditions": {"uid": left.uid}}
    try:
        await api.delete(KINDS[left.kind], left.name, options)
    except ApiError as error:
        if error.status not in (404, 409):
            raise


def _owner(item: Object, jobs: set[str]) -> str | None:
    """The Job that takes it along. A Job that is gone without it takes nothing."""
    owners = item["metadata"].get("ownerReferences") or ()
    return next((each["uid"] for each in owners if each["uid"] in jobs), None)


def _leftover(kind: str, item: Object, owned: Iterable[tuple[str, Object]]) -> Leftover:
    metadata = item["metadata"]
    labels, said = metadata["labels"], metadata.get("annotations") or {}
    return Leftover(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        instance=labels[names.INSTANCE],
        execution=said.get(names.EXECUTION) or labels[names.EXECUTION],
        node=said.get(names.NODE) or labels.get(names.NODE) or "",
        state=_state(kind, item),
        created=seconds(metadata["creationTimestamp"]),
        holds=tuple(f"{each}/{one['metadata']['name']}" for each, one in owned),
    )


def _state(kind: str, item: Object) -> str:
    if item["metadata"].get("deletionTimestamp"):
        return "ending"
    status = item.get("status") or {}
    if kind == "pod":
        return str(status.get("phase") or "Unknown").lower()
    return _job_state(item["spec"], status) if kind == "job" else ""


def _job_state(spec: Object, status: Object) -> str:
    for condition in status.get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return str(condition["type"]).lower()
    if status.get("active"):
        return "active"
    return "stopped" if spec.get("parallelism") == 0 else "no pod"

"""The objects, and each change of them with a version: what etcd and the watch cache are to a real server.

Whoever reads gets the objects themselves: only ``change`` may alter one.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
import json
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fake_api.clock import stamp
from fake_api.refused import Refused

Item = dict[str, Any]
Key = tuple[str, str]  # namespace, name
REMEMBERED = 20_000  # changes that a watch may begin behind
KINDS = {
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "configmaps": ("v1", "ConfigMap"),
    "secrets": ("v1", "Secret"),
    "events": ("v1", "Event"),
    "namespaces": ("v1", "Namespace"),
    "serviceaccounts": ("v1", "ServiceAccount"),
    "resourcequotas": ("v1", "ResourceQuota"),
    "services": ("v1", "Service"),
    "nodes": ("v1", "Node"),
}
QUALIFIED = {"jobs": "jobs.batch"}


@dataclass(frozen=True)
class Change:
    kind: str  # ADDED, MODIFIED, DELETED
    version: int
    resource: str
    namespace: str
    item: Item

    @functools.cached_property
    def line(self) -> bytes:
        return json.dumps({"type": self.kind, "object": self.item}).encode() + b"\n"


class Storage:
    def __init__(self) -> None:
        self.version = 1000
        self.oldest = 0  # version behind which a watch may begin
        self.listeners: list[Callable[[Change], None]] = []
        self._items: dict[str, dict[Key, Item]] = {resource: {} for resource in KINDS}
        self._naming: dict[
            tuple[str, str], dict[Key, None]
        ] = {}  # by resource and uid: what names that uid as its owner or subject
        self._changes: deque[Change] = deque()
        self._watches: set[asyncio.Queue[Change | None]] = set()

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str, name: str) -> Item:
        found = self.find(resource, namespace, name)
        if found is None:
            raise Refused(404, f'{QUALIFIED.get(resource, resource)} "{name}" not found')
        return found

    def find(self, resource: str, namespace: str, name: str) -> Item | None:
        return self._items[resource].get((namespace, name))

    def all(self, resource: str, namespace: str = "") -> list[Item]:
        return [item for (place, _), item in list(self._items[resource].items()) if not namespace or place == namespace]

    def owned(self, resource: str, owner: Item) -> list[Item]:
        """For events: those about it."""
        metadata = owner["metadata"]
        keys = self._naming.get((resource, metadata["uid"]), ())
        return [self._items[resource][key] for key in keys if key[0] == metadata.get("namespace", key[0])]

    # -- writing ------------------------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str, item: Item) -> Item:
        item = copy.deepcopy(item)
        metadata = item.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:5]}"
        key = (namespace, metadata["name"])
        if key in self._items[resource]:
            raise Refused(409, f'{QUALIFIED.get(resource, resource)} "{key[1]}" already exists', "AlreadyExists")
        item["apiVersion"], item["kind"] = KINDS[resource]
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if namespace:
            metadata["namespace"] = namespace
        return self._put("ADDED", resource, key, item)

    def change(self, resource: str, namespace: str, name: str, how: Callable[[Item], Any]) -> Item:
        """``how`` alters a copy. What is to be deleted, and held by no finalizer or node, goes with it."""
        before = self.get(resource, namespace, name)
        after = copy.deepcopy(before)
        how(after)
        if after == before:
            return before
        after = self._put("MODIFIED", resource, (namespace, name), after)
        metadata = after["metadata"]
        if (
            metadata.get("deletionTimestamp")
            and not metadata.get("finalizers")
            and metadata.get("deletionGracePeriodSeconds", 0) == 0
        ):
            self.remove(resource, namespace, name)
        return after

    def remove(self, resource: str, namespace: str, name: str) -> None:
        """At once, whatever holds it."""
        item = copy.deepcopy(self._items[resource].pop((namespace, name)))
        self._list(resource, (namespace, name), _named(item), set())
        self._tell("DELETED", resource, namespace, item)

    def _put(self, kind: str, resource: str, key: Key, item: Item) -> Item:
        before = self._items[resource].get(key)
        self._list(resource, key, _named(before) if before else set(), _named(item))
        self._items[resource][key] = item
        self._tell(kind, resource, key[0], item)
        return item

    def _list(self, resource: str, key: Key, before: set[str], now: set[str]) -> None:
        for uid in before - now:
            self._naming[resource, uid].pop(key)
            if not self._naming[resource, uid]:
                del self._naming[resource, uid]
        for uid in now - before:
            self._naming.setdefault((resource, uid), {})[key] = None

    def _tell(self, kind: str, resource: str, namespace: str, item: Item) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        change = Change(kind, self.version, resource, namespace, item)
        self._changes.append(change)
        if len(self._changes) > REMEMBERED:
            self.oldest = self._changes.popleft().version
        for queue in self._watches:
            queue.put_nowait(change)
        loop = asyncio.get_running_loop()
        for listener in self.listeners:
            loop.call_soon(listener, change)

    # -- watching -----------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """No watch may begin behind what is now: 410 for whoever tries."""
        self._changes.clear()
        self.oldest = self.version

    def watch(self, behind: int) -> Watch:
        if behind < self.oldest:
            raise Refused(410, f"too old resource version: {behind} ({self.oldest})")
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        for change in itertools.chain(self._changes):
            if change.version > behind:
                queue.put_nowait(change)
        return Watch(self._watches, queue)

    def end_watches(self) -> None:
        for queue in self._watches:
            queue.put_nowait(None)

    @property
    def watches(self) -> int:
        return len(self._watches)


class Watch:
    def __init__(self, among: set[asyncio.Queue[Change | None]], queue: asyncio.Queue[Change | None]) -> None:
        self._among, self._queue = among, queue

    def __enter__(self) -> asyncio.Queue[Change | None]:
        self._among.add(self._queue)
        return self._queue

    def __exit__(self, *_: object) -> None:
        self._among.discard(self._queue)


def owners(item: Item) -> Iterator[str]:
    return (each["uid"] for each in item["metadata"].get("ownerReferences") or ())


def _named(item: Item) -> set[str]:
    return {*owners(item), *([item["involvedObject"]["uid"]] if "involvedObject" in item else [])}


def merged(base: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(base) if isinstance(base, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result

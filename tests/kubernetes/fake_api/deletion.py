"""What a DELETE does at once, and what is deleted with something: propagation, finalizers, preconditions, garbage."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fake_api.clock import stamp
from fake_api.refused import Refused
from fake_api.storage import QUALIFIED, Change, Item, Storage, owners

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
DEPENDENTS = ("pods", "configmaps", "secrets")
CONTENT = ("jobs", "pods", "configmaps", "secrets", "events", "serviceaccounts", "resourcequotas", "services")


def delete(storage: Storage, resource: str, namespace: str, name: str, options: Mapping[str, Any]) -> Item:
    item = storage.get(resource, namespace, name)
    _check(item, resource, options.get("preconditions") or {})
    policy = options.get("propagationPolicy") or ("Orphan" if resource == "jobs" else "Background")
    grace = _grace(resource, item, options)

    def mark(item: Item) -> None:
        metadata = item["metadata"]
        if extra := {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy if resource == "jobs" else ""):
            metadata["finalizers"] = [*metadata.get("finalizers", ()), extra]
        metadata.setdefault("deletionTimestamp", stamp())
        if resource == "namespaces":
            metadata["finalizers"] = ["kubernetes"]
            item["status"]["phase"] = "Terminating"
        if resource == "pods":
            metadata["deletionGracePeriodSeconds"] = min(grace, metadata.get("deletionGracePeriodSeconds", grace))

    return storage.change(resource, namespace, name, mark)


def _check(item: Item, resource: str, preconditions: Mapping[str, str]) -> None:
    for name in ("uid", "resourceVersion"):
        if name in preconditions and item["metadata"][name] != preconditions[name]:
            what = f'{QUALIFIED.get(resource, resource)} "{item["metadata"]["name"]}"'
            raise Refused(
                409,
                f"Operation cannot be fulfilled on {what}: the {name} in the precondition ({preconditions[name]})"
                f" does not match the {name} in record ({item['metadata'][name]})",
            )


def _grace(resource: str, item: Item, options: Mapping[str, Any]) -> int:
    """A pod that no node has, or that is over, goes at once."""
    if resource != "pods" or not item["spec"].get("nodeName") or item["status"]["phase"] in ("Succeeded", "Failed"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(item["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked)


class Garbage:
    """Deletes what belongs to something that is gone, and lets go of what waits for that."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._emptying: set[str] = set()  # namespaces that will be looked at next
        storage.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        if change.kind == "DELETED":
            self._gone(change.item, change.namespace)
        elif change.resource == "jobs" and change.item["metadata"].get("deletionTimestamp"):
            self._ending(change.item)
        elif change.resource == "namespaces" and change.item["metadata"].get("deletionTimestamp"):
            self._empty_soon(change.item["metadata"]["name"])

    def _gone(self, item: Item, namespace: str) -> None:
        for resource in DEPENDENTS:
            for dependent in self._storage.owned(resource, item):
                self._delete(resource, dependent)
        for uid in owners(item):
            owner = next((job for job in self._storage.all("jobs", namespace) if job["metadata"]["uid"] == uid), None)
            if owner and owner["metadata"].get("deletionTimestamp"):
                self._ending(owner)
        place = self._storage.find("namespaces", "", namespace)
        if place and place["metadata"].get("deletionTimestamp"):
            self._empty_soon(namespace)

    def _ending(self, job: Item) -> None:
        """A Job that waits for its dependents to go, or to be let go."""
        job = self._storage.find("jobs", job["metadata"]["namespace"], job["metadata"]["name"]) or job
        finalizers = job["metadata"].get("finalizers") or ()
        pods = self._storage.owned("pods", job)
        if FOREGROUND in finalizers:
            for pod in pods:
                self._delete("pods", pod)
            if not pods:
                self._release(job, FOREGROUND)
        if ORPHAN in finalizers:
            for pod in pods:
                self._edit("pods", pod, lambda item: item["metadata"].pop("ownerReferences", None))
            self._release(job, ORPHAN)

    def _empty_soon(self, namespace: str) -> None:
        """Once for all that has gone by then."""
        if namespace not in self._emptying:
            self._emptying.add(namespace)
            asyncio.get_running_loop().call_soon(self._empty, namespace)

    def _empty(self, namespace: str) -> None:
        self._emptying.discard(namespace)
        for resource in CONTENT:
            for item in self._storage.all(resource, namespace):
                self._delete(resource, item)
        left = [item for resource in CONTENT for item in self._storage.all(resource, namespace)]
        if not left and self._storage.find("namespaces", "", namespace):
            self._storage.remove("namespaces", "", namespace)

    def _delete(self, resource: str, item: Item) -> None:
        metadata = item["metadata"]
        if not metadata.get("deletionTimestamp"):
            delete(self._storage, resource, metadata["namespace"], metadata["name"], {"propagationPolicy": "Background"})

    def _release(self, job: Item, finalizer: str) -> None:
        def without(item: Item) -> None:
            item["metadata"]["finalizers"] = [each for each in item["metadata"]["finalizers"] if each != finalizer]

        self._edit("jobs", job, without)

    def _edit(self, resource: str, item: Item, how: Any) -> None:
        metadata = item["metadata"]
        if self._storage.find(resource, metadata["namespace"], metadata["name"]):
            self._storage.change(resource, metadata["namespace"], metadata["name"], how)

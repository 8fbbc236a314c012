"""The controller of Jobs: makes and ends pods until a Job has what it wants, and says what became of it."""

from __future__ import annotations

import asyncio
import calendar
import time
from typing import Any

from fake_api import quota
from fake_api.clock import stamp
from fake_api.deletion import delete
from fake_api.recorder import record
from fake_api.refused import Refused
from fake_api.releases import Release
from fake_api.storage import Change, Item, Storage, owners

TRACKING = "batch.kubernetes.io/job-tracking"
AGAIN = 0.5  # seconds after a pod that could not be made
BY = "job-controller"


class Jobs:
    """``delay``: seconds that it takes to see a change. ``twin``: it makes a pod more than is wanted, as a stale cache does."""

    def __init__(self, storage: Storage, release: Release) -> None:
        self._storage, self._release = storage, release
        self.delay = 0.0
        self.twin = False
        self._counted: dict[str, dict[str, str]] = {}  # by Job: how its pods ended
        storage.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        if change.resource == "jobs" and change.kind == "DELETED":
            self._counted.pop(change.item["metadata"]["uid"], None)
        elif change.resource == "jobs":
            self._soon(change.namespace, change.item["metadata"]["name"], self.delay)
        elif change.resource == "pods":
            self._untrack_orphan(change)
            for uid in owners(change.item):
                if job := self._by_uid(change, uid):
                    self._soon(change.namespace, job["metadata"]["name"], self.delay)

    def _by_uid(self, change: Change, uid: str) -> Item | None:
        name = (change.item["metadata"].get("labels") or {}).get("job-name", "")
        job = self._storage.find("jobs", change.namespace, name)
        return job if job and job["metadata"]["uid"] == uid else None

    def _soon(self, namespace: str, name: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._sync, namespace, name)

    # -- one Job ------------------------------------------------------------------------------------------------

    def _sync(self, namespace: str, name: str) -> None:
        job = self._storage.find("jobs", namespace, name)
        if job is None or job["metadata"].get("deletionTimestamp"):
            return
        if finished(job):
            self._time_to_live(job)
            return
        pods = self._storage.owned("pods", job)
        ended = [pod for pod in pods if over(pod)]
        self._count(job, ended)
        job = self._storage.get("jobs", namespace, name)
        if not self._conclude(job, pods):
            self._provide(job, [pod for pod in pods if not over(pod)])

    def _count(self, job: Item, ended: list[Item]) -> None:
        """From 1.26 on a pod may go afterwards and still count; before, it is forgotten."""
        status = job.get("status") or {}
        counted = self._counted.setdefault(job["metadata"]["uid"], {}) if self._release.tracked else {}
        counted.update({pod["metadata"]["uid"]: pod["status"]["phase"] for pod in ended})
        said = {
            "succeeded": sum(phase == "Succeeded" for phase in counted.values()),
            "failed": sum(phase == "Failed" for phase in counted.values()),
            "startTime": status.get("startTime") or stamp(),
        }
        self._status(job, {**status, **said})
        for pod in ended:
            self._untrack(pod)

    def _conclude(self, job: Item, pods: list[Item]) -> bool:
        spec, status = job["spec"], job["status"]
        if target := _condition(job, "FailureTarget"):
            return self._fail(job, pods, target["reason"], target["message"])
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and not spec.get("suspend"):
            left = float(deadline) - (time.time() - _seconds(status["startTime"]))
            if left <= 0:
                return self._fail(job, pods, "DeadlineExceeded", "Job was active longer than specified deadline")
            self._soon(job["metadata"]["namespace"], job["metadata"]["name"], left + 0.02)
        if status["failed"] > spec.get("backoffLimit", 6):
            return self._fail(job, pods, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if status["succeeded"] >= spec.get("completions", 1):
            self._status(job, {**status, "completionTime": stamp()}, {"type": "Complete", "status": "True"})
            return True
        return False

    def _fail(self, job: Item, pods: list[Item], reason: str, message: str) -> bool:
        active = [pod for pod in pods if not over(pod)]
        said = {"status": "True", "reason": reason, "message": message}
        if self._release.terminal and active:
            if not _condition(job, "FailureTarget"):
                self._status(job, job["status"], {"type": "FailureTarget", **said})
        else:
            self._status(job, job["status"], {"type": "Failed", **said})
            record(self._storage, job, "Warning", reason, message, BY)
        for pod in active:
            self._end(pod)
        return True

    def _provide(self, job: Item, alive: list[Item]) -> None:
        spec, status = job["spec"], job["status"]
        policy = spec.get("podReplacementPolicy") == "Failed"
        active = [pod for pod in alive if policy or not pod["metadata"].get("deletionTimestamp")]
        if spec.get("suspend"):
            for pod in active:
                self._end(pod)
            self._status(job, {name: status[name] for name in status if name != "startTime"}, _SUSPENDED)
            return
        wanted = min(int(spec.get("parallelism", 1)), int(spec.get("completions", 1)) - status["succeeded"]) + self.twin
        self._status(job, {**status, "active": len(active), "conditions": []})
        for pod in active[max(wanted, 0) :]:
            self._end(pod)
        for _ in range(wanted - len(active)):
            self._make(job)

    # -- pods ---------------------------------------------------------------------------------------------------

    def _make(self, job: Item) -> None:
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        try:
            if self._storage.get("namespaces", "", namespace)["metadata"].get("deletionTimestamp"):
                return
            quota.check(self._storage, "pods", namespace, f'pods "{name}-"')
        except Refused as error:
            record(self._storage, job, "Warning", "FailedCreate", f"Error creating: {error.message}", BY)
            self._soon(namespace, name, AGAIN)
            return
        pod = self._storage.create("pods", namespace, self._pod(job))
        record(self._storage, job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", BY)

    def _pod(self, job: Item) -> Item:
        template, owner = job["spec"]["template"], job["metadata"]
        labels = {"job-name": owner["name"], "controller-uid": owner["uid"]}
        if self._release.prefixed:
            labels |= {f"batch.kubernetes.io/{name}": value for name, value in labels.items()}
        said = template.get("metadata") or {}
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner["name"], "uid": owner["uid"], "controller": True}
        metadata: dict[str, Any] = {
            "generateName": f"{owner['name']}-",
            "labels": (said.get("labels") or {}) | labels,
            "annotations": said.get("annotations") or {},
            "ownerReferences": [reference],
        }
        if self._release.tracked:
            metadata["finalizers"] = [TRACKING]
        return {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}

    def _end(self, pod: Item) -> None:
        metadata = pod["metadata"]
        if not metadata.get("deletionTimestamp"):
            delete(self._storage, "pods", metadata["namespace"], metadata["name"], {})

    def _untrack(self, pod: Item) -> None:
        if TRACKING in (pod["metadata"].get("finalizers") or ()):
            metadata = pod["metadata"]

            def without(item: Item) -> None:
                item["metadata"]["finalizers"] = [each for each in item["metadata"]["finalizers"] if each != TRACKING]

            self._storage.change("pods", metadata["namespace"], metadata["name"], without)

    def _untrack_orphan(self, change: Change) -> None:
        """The Job is gone, or was done with its pods: nobody waits to count this one."""
        if change.kind == "DELETED" or not self._storage.find("pods", change.namespace, change.item["metadata"]["name"]):
            return
        job = next((job for uid in owners(change.item) if (job := self._by_uid(change, uid))), None)
        if job is None or finished(job):
            self._untrack(change.item)

    # -- what is said of it -------------------------------------------------------------------------------------

    def _status(self, job: Item, status: dict[str, Any], condition: dict[str, Any] | None = None) -> None:
        conditions = status.get("conditions") or []
        if condition:
            conditions = [each for each in conditions if each["type"] != condition["type"]] + [condition]
        metadata = job["metadata"]
        self._storage.change(
            "jobs",
            metadata["namespace"],
            metadata["name"],
            lambda item: item.update(status={**status, "conditions": conditions}),
        )

    def _time_to_live(self, job: Item) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        asyncio.get_running_loop().call_later(float(seconds), self._expire, job["metadata"]["namespace"], job)

    def _expire(self, namespace: str, job: Item) -> None:
        found = self._storage.find("jobs", namespace, job["metadata"]["name"])
        if found and found["metadata"]["uid"] == job["metadata"]["uid"] and not found["metadata"].get("deletionTimestamp"):
            delete(self._storage, "jobs", namespace, found["metadata"]["name"], {"propagationPolicy": "Foreground"})


_SUSPENDED = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}


def over(pod: Item) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def finished(job: Item) -> bool:
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def _condition(job: Item, kind: str) -> dict[str, Any] | None:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind and each["status"] == "True"), None)


def _seconds(at: str) -> int:
    return calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))

"""What the cluster shows of our executions, kept up to date by one watch of Jobs and one of pods, however many there are.

    list -> watch -> watch -> ... -> 410 Gone or trouble -> list

What a list no longer has was deleted meanwhile. Only what is needed of an object is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from klassd.workflows.executors.kubernetes.api import JOBS, PODS, Api, ApiError, Unavailable
from klassd.workflows.executors.kubernetes.late import told_if_late
from klassd.workflows.executors.kubernetes.names import EXECUTION
from klassd.workflows.executors.kubernetes.seen import Seen, alive, gone, seen, unrun
from klassd.workflows.executors.kubernetes.sight import explanation, unknown_since
from klassd.workflows.model.execution import Unknown

log = logging.getLogger("klassd.workflows")

RETRY = 2.0  # seconds after a list or a watch that failed
SHORT = 0.2  # seconds after a watch that has to begin anew

Object = Mapping[str, Any]


class Known:
    """One execution's objects. ``job`` and ``pods`` are what is there now, ``last`` is its pod's latest state, even after it is
    gone."""

    def __init__(self) -> None:
        self.job: Object | None = None
        self.pods: dict[str, Object] = {}
        self.first = ""  # the name of its pod: the first one, of those that were not refused the start
        self.last: Object | None = None
        self.heard = 0.0  # when its console last said something
        self.changed = asyncio.Event()

    @property
    def seen(self) -> Seen:
        """An end only where nothing of it can be alive any more, a second pod included."""
        pod = self.pods.get(self.first)
        now = seen(self.job, pod) if pod is not None or self.last is None else self._after_its_pod()
        if now.exit is not None and any(map(alive, self.pods.values())):
            return Seen(running=now.running, waiting="another pod of it has not ended yet")
        return now

    def _after_its_pod(self) -> Seen:
        assert self.last is not None
        before = seen(self.job, self.last)
        if before.exit is not None:
            return before
        return Seen(running=before.running, exit=gone(self.job, self.last, before.waiting))

    def unknown(self, now: float) -> Unknown:
        """Whether nobody can tell if anything of it runs."""
        since = unknown_since(self.pods.values(), self.heard, now) if self.seen.exit is None else None
        return Unknown(since=since, why="" if since is None else explanation(self.pods.values(), since))

    @property
    def leaving(self) -> bool:
        """A pod of it was told to end."""
        return any("deletionTimestamp" in pod["metadata"] for pod in self.pods.values())

    @property
    def doomed(self) -> bool:
        """Its pod was told to end, so Kubernetes makes another one unless its Job wants none any more. An attempt runs once."""
        wants = self.job is not None and self.job["spec"].get("parallelism") != 0 and not self.finished
        return wants and self.last is not None and (self.first not in self.pods or "deletionTimestamp" in self.last["metadata"])

    @property
    def finished(self) -> bool:
        """As the Job's controller sees it."""
        conditions = self.job["status"]["conditions"] if self.job is not None else ()
        return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)

    @property
    def reaped(self) -> bool:
        return self.job is not None and "ttlSecondsAfterFinished" in self.job["spec"]

    @property
    def unending(self) -> bool:
        """Its Job does not finish by itself: it was stopped, or a sidecar runs on."""
        stopped = self.job is not None and self.job["spec"].get("parallelism") == 0
        return stopped or any(pod["status"].get("phase") == "Running" for pod in self.pods.values())

    @property
    def empty(self) -> bool:
        return self.job is None and not self.pods

    def put_pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if name not in self.pods and self.first not in ("", name):
            log.warning("Kubernetes made a second pod of one attempt: %s beside %s", name, self.first)
        self.pods[name] = pod
        if name == self.first:
            self.last = pod
        self.first, self.last = min(self._candidates(), key=_precedence)

    def _candidates(self) -> Iterator[tuple[str, Object]]:
        """By name: those that are there, and the one that was followed, though it may be gone."""
        if self.last is not None:
            yield self.first, self.last
        yield from self.pods.items()

    @property
    def refused(self) -> list[str]:
        """The pods that were refused the start, beside the one that is followed."""
        return [name for name, pod in self.pods.items() if name != self.first and unrun(pod)]

    def latest(self, path: str, name: str) -> Object | None:
        """What was heard last of one of its objects."""
        if path == JOBS:
            return self.job
        return self.pods.get(name) or (self.last if name == self.first else None)

    def drop_pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        self.pods.pop(name, None)
        if name == self.first:
            self.last = pod

    def tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _precedence(named: tuple[str, Object]) -> tuple[bool, str]:
    """One that did not get the start has nothing to tell of the attempt, unless there is no other."""
    _, pod = named
    return unrun(pod), str(pod["metadata"].get("creationTimestamp") or "")


class View:
    def __init__(self, api: Api, selector: str) -> None:
        self._api, self._selector = api, selector
        self._known: dict[str, Known] = {}
        self._held: dict[str, int] = {}  # followers of an execution
        self._synced = {JOBS: asyncio.Event(), PODS: asyncio.Event()}
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._known)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep_up(path), name=f"watch {path}") for path in (JOBS, PODS)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def synced(self) -> None:
        """Until it knows what was there when it was started."""
        for event in self._synced.values():
            await event.wait()

    def hold(self, execution_id: str) -> Known:
        """What is known of it, kept until ``release`` even when its objects go."""
        self._held[execution_id] = self._held.get(execution_id, 0) + 1
        return self._known.setdefault(execution_id, Known())

    def release(self, execution_id: str) -> None:
        self._held[execution_id] -= 1
        if not self._held[execution_id]:
            del self._held[execution_id]
            self._tidy(execution_id)

    def put_job(self, job: Object) -> None:
        """What a request has answered, ahead of the watch."""
        self._put(JOBS, job)

    def put_pods(self, pods: Iterable[Object]) -> None:
        for pod in pods:
            self._put(PODS, pod)

    def find(self, execution_id: str) -> Known | None:
        return self._known.get(execution_id)

    def known(self) -> Iterable[tuple[str, Known]]:
        return list(self._known.items())

    # -- keeping up ---------------------------------------------------------------------------------------------

    async def _keep_up(self, path: str) -> None:
        version = ""
        while True:
            try:
                version = version or await self._list(path)
                async for kind, item in self._api.watch(path, self._selector, version):
                    version = item["metadata"]["resourceVersion"]
                    if kind == "DELETED":
                        self._drop(path, item)
                    elif kind != "BOOKMARK":
                        self._put(path, item)
            except Exception as error:  # whatever it is: without its watch, a scheduler sees nothing ever again
                version = ""
                await asyncio.sleep(_reported(path, error))

    async def _list(self, path: str) -> str:
        items, version = await self._api.list(path, self._selector)
        present = set()
        for item in items:
            present.add(item["metadata"]["uid"])
            self._put_listed(path, item)
        for gone_item in [item for item in self._all(path) if item["metadata"]["uid"] not in present]:
            self._drop(path, gone_item)
        self._synced[path].set()
        return version

    def _put_listed(self, path: str, item: Object) -> None:
        """One that nobody understands must not hide all the others."""
        try:
            self._put(path, item, listed=True)
        except Exception:
            log.exception("%s: %s is left out", _kind(path), item["metadata"].get("name"))

    def _all(self, path: str) -> list[Object]:
        if path == JOBS:
            return [known.job for known in self._known.values() if known.job is not None]
        return [pod for known in self._known.values() for pod in known.pods.values()]

    def _put(self, path: str, item: Object, *, listed: bool = False) -> None:
        """``listed``: it is what is there now, whatever was said before."""
        execution_id = _execution(item)
        known = self._known.setdefault(execution_id, Known())
        if not listed and _outdated(item, known.latest(path, item["metadata"]["name"])):
            return
        if path == JOBS:
            known.job = _job(item)
        else:
            with told_if_late(execution_id, known):
                known.put_pod(_pod(item))
        known.tell()

    def _drop(self, path: str, item: Object) -> None:
        execution_id = _execution(item)
        known = self._known.get(execution_id)
        if known is None:
            return
        if path == PODS:
            with told_if_late(execution_id, known):
                known.drop_pod(_pod(item))
        elif known.job is not None and known.job["metadata"]["uid"] == item["metadata"]["uid"]:
            known.job = None
        known.tell()
        self._tidy(execution_id)

    def _tidy(self, execution_id: str) -> None:
        known = self._known.get(execution_id)
        if known is not None and known.empty and execution_id not in self._held:
            del self._known[execution_id]


def _reported(path: str, error: Exception) -> float:
    """How many seconds later to list again."""
    if isinstance(error, ApiError) and error.status == 410:
        return SHORT
    if isinstance(error, ApiError):
        log.warning("%s cannot be watched: %s", _kind(path), error)
    elif isinstance(error, Unavailable):
        log.warning("%s: watching again in %g s: %s", _kind(path), RETRY, error)
    else:
        log.error("%s: watching again in %g s after an error of ours", _kind(path), RETRY, exc_info=error)
    return RETRY


def _kind(path: str) -> str:
    return path.rpartition("/")[2]


def _execution(item: Object) -> str:
    metadata = item["metadata"]
    return str((metadata.get("annotations") or {}).get(EXECUTION) or metadata["labels"][EXECUTION])


def _outdated(item: Object, latest: Object | None) -> bool:
    """An answer and a watch may overtake each other. Versions are said to be opaque: what are no numbers is not compared."""
    if latest is None or latest["metadata"]["uid"] != item["metadata"]["uid"]:
        return False
    one, other = (str(each["metadata"].get("resourceVersion", "")) for each in (item, latest))
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)


def _job(item: Object) -> Object:
    spec, status = item["spec"], item.get("status") or {}
    kept = {name: spec[name] for name in ("suspend", "parallelism", "ttlSecondsAfterFinished") if name in spec}
    told = {"conditions": status.get("conditions") or (), "startTime": status.get("startTime")}
    return {"metadata": _metadata(item), "spec": kept, "status": told}


def _pod(item: Object) -> Object:
    status, spec = item.get("status") or {}, item["spec"]
    parts = ("phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses", "podIP")
    limits = [{"name": each["name"], "resources": each.get("resources") or {}} for each in _containers(spec)]
    return {
        "metadata": _metadata(item),
        "spec": {"containers": limits, "nodeName": spec.get("nodeName")},
        "status": {name: status[name] for name in parts if name in status},
    }


def _containers(spec: Object) -> Iterable[Object]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _metadata(item: Object) -> Object:
    metadata = item["metadata"]
    return {
        name: metadata[name]
        for name in ("name", "uid", "resourceVersion", "annotations", "creationTimestamp", "deletionTimestamp")
        if name in metadata
    }

"""Scheduler and node in one: gives pods a place, runs their containers, says how they are, and ends what is to be deleted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from fake_api.clock import stamp
from fake_api.console import Console
from fake_api.containers import Container, Ended, Runtime
from fake_api.jobs import over
from fake_api.recorder import record
from fake_api.refused import Refused
from fake_api.releases import Release
from fake_api.storage import Change, Item, Storage

NODE, CPUS = "node-1", 64.0
BY = "kubelet"
MOUNT = 0.1  # seconds before a volume that could not be mounted is tried again
_UNLOCATED = Ended(137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated")


class Kubelet:
    """``runtime``: what the containers are. The rest: how the node behaves from now on."""

    def __init__(self, storage: Storage, release: Release, runtime: Runtime) -> None:
        self._storage, self.release = storage, release
        self.runtime: Runtime = runtime
        self.clock: Callable[[], int] = time.time_ns
        self.pulling: dict[str, float] = {}  # image: seconds it takes
        self.lost = False  # the node says nothing any more; what runs there goes on
        self._pods: dict[str, Pod] = {}  # by uid
        self._tasks: dict[str, asyncio.Task[None]] = {}
        storage.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        if change.resource != "pods" or self.lost:
            return
        uid = change.item["metadata"]["uid"]
        if change.kind == "ADDED":
            self._take(change.item)
        elif change.kind == "DELETED":
            self._forget(uid)
        elif change.item["metadata"].get("deletionTimestamp") and uid in self._pods:
            self._pods[uid].leave(change.item["metadata"].get("deletionGracePeriodSeconds", 0))

    def _take(self, item: Item) -> None:
        uid = item["metadata"]["uid"]
        self._pods[uid] = Pod(item, self, self._storage)
        self._tasks[uid] = asyncio.get_running_loop().create_task(self._pods[uid].live())

    def _forget(self, uid: str) -> None:
        pod, task = self._pods.pop(uid, None), self._tasks.pop(uid, None)
        if pod:
            pod.kill()
        if task:
            task.cancel()

    # -- for the API --------------------------------------------------------------------------------------------

    def console(self, item: Item, name: str) -> Console:
        """Raises as a server does while there is none."""
        pod, metadata = self._pods.get(item["metadata"]["uid"]), item["metadata"]
        if self.lost or pod is None:
            raise Refused(500, f"Get https://{NODE}:10250/containerLogs: dial tcp: connect: no route to host")
        if name not in pod.containers:
            raise Refused(400, f'container "{name}" in pod "{metadata["name"]}" is waiting to start: ContainerCreating')
        return pod.containers[name].console

    def container(self, pod_name: str, name: str = "worker") -> Container:
        return next(pod for pod in self._pods.values() if pod.name == pod_name).containers[name]

    def ended(self, pod_name: str, name: str = "worker") -> bool:
        return next(pod for pod in self._pods.values() if pod.name == pod_name).ended(name)

    def disrupt(self, item: Item, reason: str, message: str) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        self.edit(item, lambda pod: pod["status"].setdefault("conditions", []).append(condition))

    def evict(self, item: Item, reason: str = "Evicted", message: str = "The node was low on resource: memory. ") -> None:
        """The node's own: the pod fails, and is not deleted."""
        if self.release.disruption:
            self.disrupt(item, "TerminationByKubelet", message)
        self._pods[item["metadata"]["uid"]].evict(reason, message)

    def found_again(self) -> None:
        """The node comes back: it says what became of its pods, and ends what was deleted meanwhile."""
        self.lost = False
        present = {item["metadata"]["uid"]: item for item in self._storage.all("pods")}
        for uid, pod in list(self._pods.items()):
            if uid not in present:
                self._forget(uid)
                continue
            pod.report()
            if present[uid]["metadata"].get("deletionTimestamp"):
                pod.leave(0)
        for uid, item in present.items():
            if uid not in self._pods and not over(item):
                self._take(item)

    async def close(self) -> None:
        for uid in list(self._pods):
            self._pods[uid].kill()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def edit(self, item: Item, how: Callable[[Item], Any]) -> None:
        metadata = item["metadata"]
        if not self.lost and self._storage.find("pods", metadata["namespace"], metadata["name"]):
            self._storage.change("pods", metadata["namespace"], metadata["name"], how)


class Pod:
    def __init__(self, item: Item, kubelet: Kubelet, storage: Storage) -> None:
        self._item, self._kubelet, self._storage = item, kubelet, storage
        self.name = str(item["metadata"]["name"])
        self.containers: dict[str, Container] = {}
        self._ends: dict[str, Ended] = {}
        self._started: dict[str, str] = {}
        self._waiting = ("ContainerCreating", "")
        self._verdict: dict[str, str] = {}
        self._scheduled: dict[str, str] = {}
        self._leaving = asyncio.Event()
        self._grace = 0.0

    async def live(self) -> None:
        spec = self._item["spec"]
        living = asyncio.ensure_future(self._run(spec))
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait({living, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not living.done() and all(name in self._ends for name in self.containers):
                living.cancel()  # nothing of it runs, and nothing will
            elif not living.done():
                await self._stop(living)
                await living
            await leaving
            self._let_go()
        finally:
            living.cancel()
            leaving.cancel()
            await asyncio.gather(living, leaving, return_exceptions=True)

    async def _run(self, spec: Mapping[str, Any]) -> None:
        await self._schedule(spec)
        await self._mount(spec)
        if problem := self._missing(spec):
            await self._wait(*problem)
        for container in spec.get("initContainers") or ():
            await self._pull(container["image"])
            if container.get("restartPolicy") == "Always":
                self._start(container)
            elif (await self._start(container)).code:
                self._verdict = {"reason": "Init:Error"}
                break
        else:
            for container in spec["containers"]:
                await self._pull(container["image"])
            self._say("Normal", "Created", "Created container worker")
            tasks = {each["name"]: self._start(each) for each in spec["containers"]}
            self._say("Normal", "Started", "Started container worker")
            await asyncio.gather(*tasks.values())
            for container in spec.get("initContainers") or ():
                if container["name"] not in self._ends:
                    self.containers[container["name"]].stop()
        self.report()

    async def _schedule(self, spec: Mapping[str, Any]) -> None:
        wanted = sum(_cpus(each) for each in spec["containers"])
        selector = spec.get("nodeSelector") or {}
        if wanted > CPUS or any(name != "kubernetes.io/os" for name in selector):
            why = "Insufficient cpu" if wanted > CPUS else "node(s) didn't match Pod's node affinity/selector"
            message = f"0/1 nodes are available: 1 {why}."
            self._scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self._say("Warning", "FailedScheduling", message, "default-scheduler")
            self.report()
            await asyncio.Event().wait()
        self._scheduled = {"type": "PodScheduled", "status": "True"}
        self._say("Normal", "Scheduled", f"Successfully assigned {self.name} to {NODE}", "default-scheduler")
        self._kubelet.edit(self._item, lambda pod: pod["spec"].update(nodeName=NODE))
        self.report()

    async def _pull(self, image: str) -> None:
        self._say("Normal", "Pulling", f'Pulling image "{image}"')
        if "invalid" in image:
            said = f'Back-off pulling image "{image}"'
            self._say("Warning", "Failed", f'Failed to pull image "{image}": not found')
            await self._wait("ImagePullBackOff", said)
        await asyncio.sleep(self._kubelet.pulling.get(image, 0.0))
        self._say("Normal", "Pulled", f'Successfully pulled image "{image}"')

    async def _mount(self, spec: Mapping[str, Any]) -> None:
        """A Job's objects may come after it: a kubelet tries again."""
        names = [each["configMap"]["name"] for each in spec.get("volumes") or () if "configMap" in each]
        while missing := [name for name in names if not self._storage.find("configmaps", self._namespace, name)]:
            self._say("Warning", "FailedMount", f'MountVolume.SetUp failed: configmap "{missing[0]}" not found')
            await asyncio.sleep(MOUNT)

    @property
    def _namespace(self) -> str:
        return str(self._item["metadata"]["namespace"])

    def _missing(self, spec: Mapping[str, Any]) -> tuple[str, str] | None:
        for container in spec["containers"]:
            for source in container.get("envFrom") or ():
                name = (source.get("secretRef") or {}).get("name")
                if name and not self._storage.find("secrets", self._namespace, name):
                    return "CreateContainerConfigError", f'secret "{name}" not found'
        return None

    async def _wait(self, reason: str, message: str) -> None:
        self._waiting = (reason, message)
        self._say("Warning", "Failed", f"Error: {message}")
        self.report()
        await asyncio.Event().wait()

    # -- containers ---------------------------------------------------------------------------------------------

    def _start(self, spec: Mapping[str, Any]) -> asyncio.Task[Ended]:
        name = spec["name"]
        container = Container(spec, self._item, Console(self._kubelet.clock), self._storage)
        container.whole = self._kubelet.release.whole
        self.containers[name] = container
        self._started[name] = stamp(self._kubelet.clock() / 1e9)
        self.report()
        return asyncio.ensure_future(self._finish(name, container))

    async def _finish(self, name: str, container: Container) -> Ended:
        try:
            ended = await self._kubelet.runtime(container)
        except Exception as error:  # of the fake itself
            ended = Ended(128, "StartError", repr(error))
        container.console.end()
        self._ends[name] = ended
        self.report()
        return ended

    async def _stop(self, living: asyncio.Future[None]) -> None:
        self._say("Normal", "Killing", "Stopping container worker")
        running = [container for name, container in self.containers.items() if name not in self._ends]
        for container in running:
            container.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await asyncio.shield(living)
        self.kill()

    def kill(self) -> None:
        for container in self.containers.values():
            container.kill()

    def leave(self, grace: float) -> None:
        self._grace = grace
        self._leaving.set()

    def ended(self, container: str) -> bool:
        return container in self._ends

    def evict(self, reason: str, message: str) -> None:
        self._verdict = {"reason": reason, "message": message}
        self.kill()
        self.report()

    # -- status -------------------------------------------------------------------------------------------------

    def report(self) -> None:
        self._kubelet.edit(self._item, self._describe)

    def _describe(self, pod: Item) -> None:
        spec, status = pod["spec"], pod["status"]
        own = [each["name"] for each in spec["containers"]]
        status["phase"] = self._phase(own)
        status["containerStatuses"] = [self._status(each) for each in spec["containers"]] if self._placed else []
        if spec.get("initContainers"):
            status["initContainerStatuses"] = [self._status(each) for each in spec["initContainers"]]
        status.update(self._verdict)
        others = [each for each in status.get("conditions", ()) if each["type"] != "PodScheduled"]
        status["conditions"] = [*others, *([self._scheduled] if self._scheduled else [])]
        if self._placed:
            status.setdefault("startTime", stamp())

    @property
    def _placed(self) -> bool:
        return self._scheduled.get("status") == "True"

    def _phase(self, own: list[str]) -> str:
        if self._verdict and all(name in self._ends for name in self.containers):
            return "Failed"
        if all(name in self._ends for name in own):
            return "Failed" if any(self._ends[name].code for name in own) else "Succeeded"
        return "Running" if any(name in self.containers for name in own) else "Pending"

    def _status(self, container: Mapping[str, Any]) -> dict[str, Any]:
        name = container["name"]
        state: dict[str, Any]
        if name in self._ends:
            state = {"terminated": self._ends[name].said(self._started.get(name), stamp(self._kubelet.clock() / 1e9))}
        elif name in self.containers:
            state = {"running": {"startedAt": self._started[name]}}
        else:
            reason, message = self._waiting
            state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        return {"name": name, "image": container["image"], "state": state, "ready": "running" in state, "restartCount": 0}

    def _let_go(self) -> None:
        """It is to be deleted, and nothing of it runs: the last word on it, and off it goes, unless a finalizer holds it."""

        def released(pod: Item) -> None:
            if self._kubelet.release.located and self._placed:
                self._ends = {each["name"]: _UNLOCATED for each in pod["spec"]["containers"]} | self._ends
            self._describe(pod)
            if pod["status"]["phase"] in ("Pending", "Running"):
                pod["status"]["phase"] = "Failed"
            pod["metadata"]["deletionGracePeriodSeconds"] = 0

        self._kubelet.edit(self._item, released)

    def _say(self, kind: str, reason: str, message: str, by: str = BY) -> None:
        metadata = self._item["metadata"]
        item = self._storage.find("pods", metadata["namespace"], metadata["name"])
        if item and not self._kubelet.lost:
            record(self._storage, item, kind, reason, message, by)


def _cpus(container: Mapping[str, Any]) -> float:
    asked = str(((container.get("resources") or {}).get("requests") or {}).get("cpu") or "0")
    return float(asked[:-1]) / 1000 if asked.endswith("m") else float(asked)

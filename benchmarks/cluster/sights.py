"""When a namespace showed what: a watch of its Jobs and one of its pods, beside those of the scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from klassd.workflows.executors.kubernetes.api import JOBS, PODS, Api
from klassd.workflows.executors.kubernetes.manifest import WORKER
from klassd.workflows.executors.kubernetes.names import EXECUTION

PATIENCE = 600.0  # seconds


class Sights:
    """``at[name, what]``: when it was first seen that an execution has a "job", and a "pod" that is "scheduled", "running",
    "ended", and that it is "reaped". A Job of ours or a bare one: the name is in an annotation."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.at: dict[tuple[str, str], float] = {}
        self.records: dict[str, str] = {}  # what the containers left as their last word
        self.pods: dict[str, str] = {}  # their names
        self._news = asyncio.Event()

    async def until(self, *names: str, what: str) -> float:
        """When the last of them was seen."""
        async with asyncio.timeout(PATIENCE):
            while not all((name, what) in self.at for name in names):
                self._news.clear()
                await self._news.wait()
        return max(self.at[name, what] for name in names)

    async def keep_up(self, path: str, begun: asyncio.Event) -> None:
        _, version = await self._api.list(path, "")
        begun.set()
        while True:
            async for _, item in self._api.watch(path, "", version):
                version = item["metadata"]["resourceVersion"]
                if name := (item["metadata"].get("annotations") or {}).get(EXECUTION):
                    self._note(name, item, _shown_job(item) if path == JOBS else _shown(item))

    def _note(self, name: str, item: Mapping[str, Any], shown: Iterator[str]) -> None:
        now = time.time()
        for what in shown:
            self.at.setdefault((name, what), now)
            if what == "pod":
                self.pods[name] = item["metadata"]["name"]
            if what == "ended":
                self.records.setdefault(name, _state(item)["terminated"].get("message") or "")
        self._news.set()


def _shown_job(job: Mapping[str, Any]) -> Iterator[str]:
    yield "job"
    if "ttlSecondsAfterFinished" in job["spec"]:
        yield "reaped"


def _shown(pod: Mapping[str, Any]) -> Iterator[str]:
    yield "pod"
    conditions = pod["status"].get("conditions") or ()
    if any(each["type"] == "PodScheduled" and each["status"] == "True" for each in conditions):
        yield "scheduled"
    state = _state(pod)
    if "running" in state or "terminated" in state:
        yield "running"
    if "terminated" in state:
        yield "ended"


def _state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    statuses = pod["status"].get("containerStatuses") or ()
    found: Mapping[str, Any] = next((each["state"] for each in statuses if each["name"] == WORKER), {})
    return found


@asynccontextmanager
async def sights(api: Api) -> AsyncIterator[Sights]:
    found = Sights(api)
    begun = {path: asyncio.Event() for path in (JOBS, PODS)}
    tasks = [asyncio.create_task(found.keep_up(path, event)) for path, event in begun.items()]
    for event in begun.values():
        await event.wait()
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for each in ended:
            if not isinstance(each, asyncio.CancelledError):
                raise SystemExit(f"the watch beside the scheduler broke: {each!r}")

"""What a follower tells of its pod's way to its start: each thing once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from klassd.workflows.executors.kubernetes.api import Api, ApiError
from klassd.workflows.executors.kubernetes.phases import located, phases
from klassd.workflows.model.execution import Located, Reached, Told
from klassd.workflows.model.phases import Phases

log = logging.getLogger("klassd.workflows")

SLOW = 2.0  # seconds from a node to the container's start that are worth a request: was it the image?


class Course:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._at: dict[str, str | int] = {}
        self._phases = Phases()
        self._asked = False

    async def news(self, pod: Mapping[str, Any] | None) -> list[Told]:
        if pod is None:
            return []
        told: list[Told] = []
        if (at := located(pod)) != self._at:
            self._at = at
            told.append(Located(at=at))
        now = phases(pod).over(self._phases)
        if self._is_slow(now):
            now = phases(pod, await self._events(pod)).over(now)
        if now != self._phases:
            self._phases = now
            told.append(Reached(phases=now))
        return told

    def _is_slow(self, now: Phases) -> bool:
        begin = now.initialized or now.scheduled
        return not self._asked and begin is not None and now.container is not None and now.container - begin >= SLOW

    async def _events(self, pod: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Nice to know, and no more: an execution goes on without."""
        self._asked = True
        try:
            return await self._api.events(pod["metadata"]["name"])
        except (ApiError, OSError) as error:
            log.info("events of %s cannot be had: %s", pod["metadata"]["name"], error)
            return []

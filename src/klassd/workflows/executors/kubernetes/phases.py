"""Where an execution's pod is and how far it has come: from the JSON of the pod and of its events. Pure.

Conditions and containers tell whole seconds, on every version. Only events tell of an image that was pulled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from klassd.workflows.executors.kubernetes.manifest import WORKER
from klassd.workflows.model.phases import Phases

Object = Mapping[str, Any]


def located(pod: Object) -> dict[str, str | int]:
    at: dict[str, str | int] = {"pod": pod["metadata"]["name"]}
    if node := pod["spec"].get("nodeName"):
        at["node"] = node
    return at


def phases(pod: Object, events: Iterable[Object] = ()) -> Phases:
    """``events``: of the pod, in any order."""
    return Phases(
        scheduled=_since(pod, "PodScheduled"),
        initialized=_since(pod, "Initialized") if pod["status"].get("initContainerStatuses") else None,
        pulled=min((at for each in events if _is_pulled(each) and (at := event_time(each))), default=None),
        container=_container_start(pod),
    )


def _since(pod: Object, kind: str) -> float | None:
    for each in pod["status"].get("conditions") or ():
        if each["type"] == kind and each["status"] == "True":
            return epoch(each.get("lastTransitionTime"))
    return None


def _container_start(pod: Object) -> float | None:
    for status in pod["status"].get("containerStatuses") or ():
        if status["name"] == WORKER:
            state = status.get("state") or {}
            return epoch((state.get("running") or state.get("terminated") or {}).get("startedAt"))
    return None


def _is_pulled(event: Object) -> bool:
    part = event["involvedObject"].get("fieldPath")
    return event.get("reason") == "Pulled" and part == f"spec.containers{{{WORKER}}}"


def event_time(event: Object) -> float | None:
    """When it was seen last. Events of the newer API have one time only, of microseconds."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return next((at for text in times if (at := epoch(text))), None)


def epoch(text: str | None) -> float | None:
    """Of ``2026-01-02T03:04:05Z``, with or without a fraction. None: it says no time; the year 1970 is Kubernetes' for none."""
    try:
        return (datetime.fromisoformat(text).timestamp() or None) if text else None
    except ValueError:
        return None

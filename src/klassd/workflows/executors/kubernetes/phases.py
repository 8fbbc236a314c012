"""Where an execution's pod is and how far it has come: from the JSON of the pod and of its events. Pure.

Conditions and containers tell whole seconds, on every version. Only events tell of an image that was pulled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from klassd.workflows.executors.kubernetes.images import OWN
from klassd.workflows.executors.kubernetes.seen import began, own_name
from klassd.workflows.executors.kubernetes.timestamps import epoch
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
        initialized=_initialized(pod),
        pulled=min((at for each in events if _pulled(pod, each) and (at := event_time(each))), default=None),
        container=began(pod),
    )


def _initialized(pod: Object) -> float | None:
    """Where there is an init container to wait for, and none of them is the image itself."""
    waits = pod["status"].get("initContainerStatuses") and own_name(pod) != OWN
    return _since(pod, "Initialized") if waits else None


def _since(pod: Object, kind: str) -> float | None:
    for each in pod["status"].get("conditions") or ():
        if each["type"] == kind and each["status"] == "True":
            return epoch(each.get("lastTransitionTime"))
    return None


def _pulled(pod: Object, event: Object) -> bool:
    name = own_name(pod)
    part = event["involvedObject"].get("fieldPath")
    return event.get("reason") == "Pulled" and part == f"spec.{'initContainers' if name == OWN else 'containers'}{{{name}}}"


def event_time(event: Object) -> float | None:
    """When it was seen last. Events of the newer API have one time only, of microseconds."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return next((at for text in times if (at := epoch(text))), None)

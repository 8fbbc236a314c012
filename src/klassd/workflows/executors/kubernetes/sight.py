"""Whether the node of a pod still answers, read off the pod alone: nodes are not ours to look at, with rights in a namespace.

Of a node that falls silent, Kubernetes sets the pods' Ready condition to False and leaves all else as it was; no kubelet does
that without a reason. Five minutes later it deletes them, and no kubelet is there to say that they are dead. Older versions
write NodeLost, or the phase Unknown.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from klassd.workflows.executors.kubernetes.seen import alive, condition
from klassd.workflows.executors.kubernetes.timestamps import seconds

OVERDUE = 60.0  # seconds after the end of its grace that a pod may still be there: kubelets are slow, and clocks differ

Pod = Mapping[str, Any]


def unknown_since(pods: Iterable[Pod], heard: float, now: float) -> float | None:
    """Since when nobody can tell whether any of them runs; None: it is known. ``heard``: when a console last came through."""
    spells = [silent_since(pod, now) for pod in pods if alive(pod)]
    silent = [spell for spell in spells if spell is not None]
    if not silent or len(silent) < len(spells) or now - heard < OVERDUE:
        return None
    return max(heard, *silent)


def silent_since(pod: Pod, now: float) -> float | None:
    """Since when its node has not answered, as far as the cluster has noticed."""
    if not pod["spec"].get("nodeName"):
        return None
    not_ready = condition(pod, "Ready", "False") or condition(pod, "Ready", "Unknown")
    if not_ready is not None and (_marked(pod, not_ready) or _said_lost(pod)):
        return seconds(not_ready["lastTransitionTime"])
    deleted = pod["metadata"].get("deletionTimestamp")
    if deleted is None:
        return seconds(pod["metadata"]["creationTimestamp"]) if _said_lost(pod) else None
    end = seconds(deleted)
    return end if _said_lost(pod) or now > end + OVERDUE else None


def _marked(pod: Pod, not_ready: Mapping[str, Any]) -> bool:
    """Not by a kubelet, which gives a reason and begins with the containers."""
    return not not_ready.get("reason") and condition(pod, "ContainersReady") is not None


def _said_lost(pod: Pod) -> bool:
    status: Mapping[str, Any] = pod["status"]
    return bool(status.get("reason") == "NodeLost" or status.get("phase") == "Unknown")


def explanation(pods: Iterable[Pod], since: float) -> str:
    nodes = ", ".join(sorted({str(pod["spec"].get("nodeName")) for pod in pods if alive(pod)}))
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(since))
    return f"whether it still runs is unknown: its node {nodes} has not answered since {at} UTC"

"""Names and labels of what belongs to an execution, within what Kubernetes allows."""

from __future__ import annotations

import hashlib
import re

from klassd.workflows.order import Order

PREFIX = "klassd-"
LIMIT = 63  # of a DNS label, and of a label's value
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_JOB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

MANAGED_BY = "app.kubernetes.io/managed-by"
INSTANCE = "app.kubernetes.io/instance"
DOMAIN = "klassd.dev"
RUN, EXECUTION, NODE, JOB = (f"{DOMAIN}/{name}" for name in ("run", "execution", "node", "job"))
STOPPED = f"{DOMAIN}/stopped"  # annotation of a Job that a scheduler has stopped: why
ON_REQUEST, TOO_LATE, TIMED_OUT, NOT_READY = "on request", "start deadline", "timeout", "not ready"
START_DEADLINE = f"{DOMAIN}/start-deadline"  # annotation: seconds that its pod may take to start
CLAIM, REQUIRED = f"{DOMAIN}/start-claim", "required"  # annotation: its pods ask for the start before they run anything
CONTAINER = (
    f"{DOMAIN}/container"  # annotation of an execution that is an image, not ours: whether its files are read afterwards
)
ALONE, COLLECTED = "alone", "collected"
TIMEOUT = f"{DOMAIN}/timeout"  # annotation: seconds that an image may run, which has nobody in its pod to watch over it
READY_WITHIN = f"{DOMAIN}/ready-within"  # annotation: seconds from its start within which it must be ready; the same
ASKED = f"{DOMAIN}/readiness"  # annotation: the port that the kubelet asks whether it can be used
NONCE = f"{DOMAIN}/nonce"  # of the frames in the pod's console: a scheduler that takes over knows them by it


def job_name(execution_id: str) -> str:
    """The name of an execution's Job: the same for everybody who launches it. Pods are named after it."""
    name = f"{PREFIX}{execution_id}"
    if len(name) <= LIMIT and _JOB_NAME.fullmatch(name):
        return name
    return _shortened(re.sub(r"[^a-z0-9-]", "-", name.lower()), execution_id)


def label_value(text: str) -> str:
    """The text itself where it may stand in a label, else the nearest thing that may, told apart by a digest."""
    if not text or _LABEL_VALUE.fullmatch(text):
        return text
    return _shortened(re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip("._-") or "x", text)


def _shortened(name: str, of: str) -> str:
    digest = hashlib.sha256(of.encode()).hexdigest()[:10]
    return f"{name[: LIMIT - len(digest) - 1].rstrip('._-')}-{digest}"


def selector(instance: str) -> str:
    """Of everything one installation has made."""
    return f"{MANAGED_BY}=klassd,{INSTANCE}={label_value(instance)}"


def labels(order: Order, instance: str) -> dict[str, str]:
    """Of the Job and of its pod."""
    return {
        MANAGED_BY: "klassd",
        INSTANCE: label_value(instance),
        RUN: label_value(order.run_id),
        EXECUTION: label_value(order.execution_id),
        NODE: label_value(order.node),
        JOB: label_value(order.job),
    }


def full_names(order: Order) -> dict[str, str]:
    """What labels may have had to shorten, in full."""
    return {EXECUTION: order.execution_id, NODE: order.node, JOB: order.job, NONCE: order.nonce}

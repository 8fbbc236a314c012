"""What the objects of one execution say, in our words. Pure: from the JSON of its Job and its pod.

An end is read off our own container's status, never off the pod's phase: a sidecar may run on, or have failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from klassd.workflows.executors.kubernetes.images import OWN
from klassd.workflows.executors.kubernetes.manifest import WORKER
from klassd.workflows.executors.kubernetes.names import ALONE, CLAIM, COLLECTED, CONTAINER, REQUIRED, STOPPED, TOO_LATE
from klassd.workflows.executors.kubernetes.timestamps import epoch
from klassd.workflows.model.execution import Exit
from klassd.workflows.model.states import Cause
from klassd.workflows.quantities import amount, sides

# Why a pod ended, in the words of kubelet, scheduler and controllers -> our cause.
POD_REASONS: Mapping[str, Cause] = {
    "Evicted": Cause.EVICTED,
    "Preempting": Cause.EVICTED,
    "Shutdown": Cause.EVICTED,
    "NodeShutdown": Cause.EVICTED,
    "Terminated": Cause.EVICTED,
    "NodeAffinity": Cause.EVICTED,
    "UnexpectedAdmissionError": Cause.EVICTED,
    "OutOfcpu": Cause.EVICTED,
    "OutOfmemory": Cause.EVICTED,
    "OutOfpods": Cause.EVICTED,
    "NodeLost": Cause.LOST,
    "DeadlineExceeded": Cause.DEADLINE,
}
CONTAINER_REASONS: Mapping[str, Cause] = {
    "OOMKilled": Cause.OOM,
    "ContainerCannotRun": Cause.IMAGE,
    "StartError": Cause.IMAGE,
    "ContainerStatusUnknown": Cause.LOST,
    "DeadlineExceeded": Cause.DEADLINE,
}
UNRUN = 3  # exit code of a worker that did not get the start, see worker/execute.py
LATE = "it did not start in time"
CREATING = ("ContainerCreating", "PodInitializing")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as the cluster shows it now."""

    running: bool = False  # our container runs, or has run: there is a console
    exit: Exit | None = None  # our container is dead, or can never start any more
    record: str = ""  # the termination message
    waiting: str = ""  # why it does not run yet
    held: bool = False  # a queue of the cluster does not let it


def seen(job: Mapping[str, Any] | None, pod: Mapping[str, Any] | None) -> Seen:
    """``pod``: its first one."""
    if pod is None:
        return Seen(exit=_podless_end(job), waiting=_no_pod(job), held=suspended(job))
    state = _state(pod)
    terminated = state.get("terminated")
    if terminated:
        return Seen(running=True, exit=_exit(job, pod, terminated), record=terminated.get("message") or "")
    if state.get("running"):
        return Seen(running=True)
    if pod["status"].get("phase") == "Failed":
        return Seen(exit=_never_ran(job, pod))
    return Seen(waiting=_waiting(pod, state))


def _state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the container that works; of an image whose files are read, that of ours once the image has ended well."""
    state = _state_of(pod, own_name(pod))
    if not collecting(pod):
        return state
    ours = _state_of(pod, WORKER)
    over = ours.get("terminated") or pod["status"].get("phase") == "Failed"
    return ours if over else {"running": {"startedAt": state["terminated"].get("startedAt")}}


def _state_of(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for kind in ("containerStatuses", "initContainerStatuses"):
        for status in pod["status"].get(kind) or ():
            if status["name"] == name:
                state: Mapping[str, Any] = status.get("state") or {}
                return state
    return {}


def own_name(item: Mapping[str, Any] | None, otherwise: str = WORKER) -> str:
    """The container whose end is the execution's and whose console it is; ``otherwise`` where that is a worker of ours."""
    kind = None if item is None else (item["metadata"].get("annotations") or {}).get(CONTAINER)
    return OWN if kind == COLLECTED else WORKER if kind == ALONE else otherwise


def collecting(pod: Mapping[str, Any] | None) -> bool:
    """Its image has ended well, and its files are read, or were."""
    if pod is None or own_name(pod) != OWN:
        return False
    ended = _state_of(pod, OWN).get("terminated") or {"exitCode": None}
    return ended.get("exitCode") == 0 and not ended.get("signal")


def unread_since(pod: Mapping[str, Any] | None) -> float | None:
    """Since when an image has ended well whose files nobody reads yet."""
    if pod is None or not collecting(pod) or "waiting" not in _state_of(pod, WORKER):
        return None
    return epoch(_state_of(pod, OWN)["terminated"].get("finishedAt"))


def began(pod: Mapping[str, Any] | None) -> float | None:
    """When the container that works was started."""
    state = _state_of(pod, own_name(pod)) if pod is not None else {}
    return epoch((state.get("running") or state.get("terminated") or {}).get("startedAt"))


def unrun(pod: Mapping[str, Any]) -> bool:
    """Its worker was refused the start, or gave up asking for it: nothing of the user's was run in it."""
    claims = (pod["metadata"].get("annotations") or {}).get(CLAIM) == REQUIRED
    return claims and (_state(pod).get("terminated") or {}).get("exitCode") == UNRUN


def alive(pod: Mapping[str, Any]) -> bool:
    """Whether something of it may run."""
    return pod["status"].get("phase") not in ("Succeeded", "Failed") and not _state(pod).get("terminated")


# -- the end ----------------------------------------------------------------------------------------------------------


def _exit(job: Mapping[str, Any] | None, pod: Mapping[str, Any], terminated: Mapping[str, Any]) -> Exit:
    code, number = int(terminated.get("exitCode") or 0), terminated.get("signal") or None
    if number is None and 128 < code < 192:
        number = code - 128
    cause, message = _cause(job, pod, terminated)
    memory = _memory(pod) if cause is Cause.OOM else ""
    return Exit(reason=cause or "", message=message, exit_code=None if number else code, signal=number, memory=memory)


def _cause(job: Mapping[str, Any] | None, pod: Mapping[str, Any], terminated: Mapping[str, Any]) -> tuple[Cause | None, str]:
    """Our container's own reason first, then the pod's, then the Job's; none for an end in order."""
    cause = CONTAINER_REASONS.get(terminated.get("reason") or "")
    if cause is Cause.OOM:
        limit = sides(_memory(pod))[1]
        what = f"it used more memory than its limit of {limit}" if limit else "its node had no memory left"
        return cause, f"killed: {what}"
    if cause is None:
        return next(_pod_causes(job, pod), (None, ""))
    own = cause, f"{terminated['reason']}: {terminated.get('message') or _pod_message(pod)}".rstrip(": ")
    return next(_unseen_causes(job, pod), own) if cause is Cause.LOST else own


def _unseen_causes(job: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> Iterator[tuple[Cause, str]]:
    """Of a pod whose container never was, or nobody saw end: a kubelet says of both that it cannot be located."""
    if stopped(job) == TOO_LATE:
        yield Cause.START_DEADLINE, LATE
    yield from _pod_causes(job, pod)


def _pod_causes(job: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> Iterator[tuple[Cause, str]]:
    reason = pod["status"].get("reason") or ""
    if cause := POD_REASONS.get(reason):
        yield cause, f"{reason}: {_pod_message(pod)}".rstrip(": ")
    if disruption := condition(pod, "DisruptionTarget"):
        yield Cause.EVICTED, f"{disruption.get('reason')}: {disruption.get('message') or ''}".rstrip(": ")
    failed = condition(job, "FailureTarget") or condition(job, "Failed")
    if failed and failed.get("reason") == "DeadlineExceeded":
        yield Cause.DEADLINE, f"DeadlineExceeded: {failed.get('message') or ''}".rstrip(": ")
    if pod["metadata"].get("deletionTimestamp"):
        yield from _by_others(job)


def _by_others(job: Mapping[str, Any] | None) -> Iterator[tuple[Cause, str]]:
    """Of a pod that was deleted: whether it was none of ours who did it."""
    if job is None or job["metadata"].get("deletionTimestamp"):
        yield Cause.STOPPED, "its Job was deleted, not by a scheduler"
    elif not stopped(job):
        yield Cause.EVICTED, "its pod was deleted, not by a scheduler: evicted, or by hand"


def stopped(job: Mapping[str, Any] | None) -> str:
    """Why a scheduler stopped it; "" where none did."""
    return str(((job or {}).get("metadata", {}).get("annotations") or {}).get(STOPPED) or "")


def _never_ran(job: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> Exit:
    for status in pod["status"].get("initContainerStatuses") or ():
        terminated = (status.get("state") or {}).get("terminated") or {}
        if code := terminated.get("exitCode"):
            message = f"its init container {status['name']!r} failed with exit code {code} ({terminated.get('reason')})"
            return Exit(reason=Cause.EXIT, message=message, exit_code=code)
    cause, message = next(_unseen_causes(job, pod), (Cause.LOST, _pod_message(pod)))
    what = "it succeeded, but its files were not read" if collecting(pod) else "it never started"
    return Exit(reason=cause, message=message if message == LATE else f"{what}: {message}".rstrip(": "))


def _podless_end(job: Mapping[str, Any] | None) -> Exit | None:
    """Of a Job that has ended without any pod of it being there: refused, or collected before anybody looked."""
    if condition(job, "Complete"):
        return Exit(reason=Cause.LOST, message="its pod succeeded, and is gone with its result and its console")
    failed = condition(job, "Failed")
    if failed is None:
        return None
    late = failed.get("reason") == "DeadlineExceeded"
    message = f"{failed.get('reason')}: {failed.get('message') or ''}".rstrip(": ")
    return Exit(reason=Cause.DEADLINE if late else Cause.LOST, message=f"its pod is gone: {message}")


def gone(job: Mapping[str, Any] | None, pod: Mapping[str, Any] | None, waiting: str = "") -> Exit:
    """Its pod was deleted, and nobody saw its container end; None: there never was a pod."""
    if pod is not None and _state(pod).get("running"):
        return _gone_while_running(job, pod)
    why = f": {waiting}" if waiting else ""
    if stopped(job) == TOO_LATE:
        return Exit(reason=Cause.START_DEADLINE, message=f"{LATE}{why}")
    if pod is None and job is not None:
        return Exit(reason=Cause.LOST, message=f"nothing is known of a start of it in this cluster{why}")
    cause, message = next(_by_others(job), (Cause.LOST, "it was deleted"))
    return Exit(reason=cause, message=f"{message}, before it started{why}")


def _gone_while_running(job: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> Exit:
    cause, message = next(_pod_causes(job, pod), (Cause.LOST, ""))
    if cause is Cause.EVICTED or not message:
        return Exit(reason=Cause.LOST, message=f"its pod {pod['metadata']['name']} is gone, and nobody saw how it ended")
    return Exit(reason=cause, message=message)


# -- before it runs ---------------------------------------------------------------------------------------------------


def suspended(job: Mapping[str, Any] | None) -> bool:
    return bool(job and job["spec"].get("suspend"))


def _no_pod(job: Mapping[str, Any] | None) -> str:
    if job is None:
        return ""
    if job["spec"].get("parallelism") == 0:
        return "it is stopped"
    if suspended(job):
        return "its Job is suspended: a queue holds it back"
    return "there is no pod yet"


def _waiting(pod: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason and reason not in CREATING:
        return f"{reason}: {waiting.get('message') or ''}".rstrip(": ")
    scheduled = condition(pod, "PodScheduled", "False")
    if scheduled:
        return f"{scheduled.get('reason')}: {scheduled.get('message') or ''}".rstrip(": ")
    return reason or "it has no machine yet"


def condition(of: Mapping[str, Any] | None, kind: str, status: str = "True") -> Mapping[str, Any] | None:
    conditions = ((of or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind and each["status"] == status), None)


def _pod_message(pod: Mapping[str, Any]) -> str:
    return str(pod["status"].get("message") or "")


def _memory(pod: Mapping[str, Any]) -> str:
    """Request and limit that our container has, whoever gave them to it; "" without a limit."""
    for container in pod["spec"]["containers"]:
        if container["name"] == own_name(pod):
            resources = container.get("resources") or {}
            limit = (resources.get("limits") or {}).get("memory")
            request = (resources.get("requests") or {}).get("memory") or limit
            return f"{request}/{limit}" if limit and _readable(request, limit) else ""
    return ""


def _readable(*amounts: object) -> bool:
    """Not in a form that only Kubernetes knows, such as "1e9"."""
    try:
        return all(amount(str(each)) > 0 for each in amounts)
    except ValueError:
        return False

"""What ``kubectl describe`` would tell of an execution, as values, and the commands that tell more."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from klassd.workflows.executors.kubernetes import names
from klassd.workflows.executors.kubernetes.api import JOBS, PODS, Api, ApiError
from klassd.workflows.executors.kubernetes.manifest import WORKER
from klassd.workflows.executors.kubernetes.phases import event_time, located, phases
from klassd.workflows.executors.kubernetes.seen import seen
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.model.description import Description, Happening
from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import Execution

Object = Mapping[str, Any]


async def look(api: Api, execution: Execution) -> Description:
    """Four requests, in two rounds. Of a pod that is gone, its events are still there."""
    name = names.job_name(execution.id)
    job, (pods, _), events = await asyncio.gather(
        _job(api, name), api.list(PODS, f"{names.EXECUTION}={names.label_value(execution.id)}"), api.events(name)
    )
    pod = min(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]), default=None)
    pod_name = pod["metadata"]["name"] if pod else execution.located.get("pod")
    return description(job, pod, [*events, *(await api.events(str(pod_name)) if pod_name else ())])


async def _job(api: Api, name: str) -> Object | None:
    try:
        return await api.get(f"{JOBS}/{name}")
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def description(job: Object | None, pod: Object | None, events: Iterable[Object]) -> Description:
    """``events``: of both."""
    told = list(events)
    state = seen(job, pod)
    return Description(
        state=_state(job, pod),
        why=state.waiting or (state.exit.message if state.exit else ""),
        located=located(pod) if pod else {},
        phases=phases(pod, told) if pod else Phases(),
        conditions=_conditions(pod or job),
        events=tuple(map(_happening, sorted(told, key=_order))),
    )


def _state(job: Object | None, pod: Object | None) -> str:
    if pod is not None:
        ending = ", ending" if pod["metadata"].get("deletionTimestamp") else ""
        return f"{pod['status'].get('phase') or 'Unknown'}{ending}"
    return "no pod" if job is not None else "not there"


def _conditions(of: Object | None) -> dict[str, str]:
    found = ((of or {}).get("status") or {}).get("conditions") or ()
    return {each["type"]: _condition(each) for each in found}


def _condition(condition: Object) -> str:
    because = f": {condition['reason']}" if condition["status"] != "True" and condition.get("reason") else ""
    return f"{condition['status']}{because}"


def _order(event: Object) -> tuple[int, str]:
    """Most tell whole seconds; within one, their names end in the time at which they were first seen, in nanoseconds."""
    name = str((event.get("metadata") or {}).get("name") or "")
    return int(event_time(event) or 0), name.rpartition(".")[2]


def _happening(event: Object) -> Happening:
    series = event.get("series") or {}
    return Happening(
        at=event_time(event),
        warning=event.get("type") == "Warning",
        reason=event.get("reason") or "",
        message=event.get("message") or "",
        count=int(series.get("count") or event.get("count") or 1),
        of=str(event["involvedObject"].get("kind") or "").lower(),
    )


def commands(settings: KubernetesSettings, namespace: str, job: str, pod: str) -> Sequence[str]:
    """For a shell, with the cluster that is configured. ``pod``: "" where none is known."""
    said = {"--kubeconfig": settings.kubeconfig, "--context": settings.context, "-n": namespace}
    kubectl = " ".join(["kubectl", *(f"{option} {shlex.quote(value)}" for option, value in said.items() if value)])
    if not pod:
        return (f"{kubectl} describe job/{job}",)
    return (f"{kubectl} describe pod/{pod}", f"{kubectl} logs pod/{pod} -c {WORKER}")

"""What no pod may be, whatever was asked for: looked for in the finished pod, so that no patch slips by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from klassd.workflows.executors.kubernetes.names import DOMAIN, INSTANCE, MANAGED_BY
from klassd.workflows.quantities import amount

_KEPT = ("command", "terminationMessagePath", "terminationMessagePolicy")  # without them the outcome would be lost

_OUTLINE: dict[str, Any] = {"securityContext": {}, "resources": {}, "volumeMounts": []}


def problems(template: Mapping[str, Any], unpatched: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[str]:
    """A sentence for each problem of a pod template. ``unpatched``: the same without the patches; its worker comes first."""
    spec = template["spec"]
    if misshapen := list(_misshapen(spec)):
        yield from misshapen
        return
    yield from _hazards(spec, allowed)
    yield from _namesakes(spec)
    yield from _unbound(spec)
    yield from _upside_down(spec)
    yield from _broken(template, unpatched)


def containers(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


def _misshapen(spec: Mapping[str, Any]) -> Iterator[str]:
    """A patch may be anything; the other rules rely on a pod's outline."""
    for name in ("containers", "initContainers", "volumes"):
        items = spec.get(name, [])
        if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
            yield f"the patch makes {name} {items!r}: expected a list of objects"
            return
    for container in containers(spec):
        for name, empty in _OUTLINE.items():
            if not isinstance(found := container.get(name, empty), type(empty)):
                yield f"the patch makes {name} of a container {found!r}: expected a {type(empty).__name__}"


def _hazards(spec: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[str]:
    """What breaks out of the isolation of a pod; each needs the operator's word."""
    paths = [volume["hostPath"].get("path") for volume in spec.get("volumes", ()) if "hostPath" in volume]
    privileged = [each.get("name") for each in containers(spec) if (each.get("securityContext") or {}).get("privileged")]
    shared = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    found = {"host_path": paths, "privileged": privileged, "host_network": shared}
    for hazard, what in found.items():
        if what and hazard not in allowed:
            yield f"{hazard} ({', '.join(map(str, what))}) is not allowed here: the executor needs allow = [{hazard!r}]"


def _namesakes(spec: Mapping[str, Any]) -> Iterator[str]:
    names = [each.get("name") for each in containers(spec)]
    yield from (f"{names.count(name)} containers are named {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1)


def _unbound(spec: Mapping[str, Any]) -> Iterator[str]:
    known = [volume.get("name") for volume in spec.get("volumes", ())]
    for container in containers(spec):
        for mount in container.get("volumeMounts", ()):
            if mount.get("name") not in known:
                yield (
                    f"container {container.get('name')!r} mounts the volume {mount.get('name')!r} at {mount.get('mountPath')},"
                    f" and there is none of that name among {', '.join(map(repr, known)) or 'no volumes'}"
                )


def _upside_down(spec: Mapping[str, Any]) -> Iterator[str]:
    """Request and limit may come from different layers."""
    for container in containers(spec):
        resources = container.get("resources", {})
        for name, limit in resources.get("limits", {}).items():
            request = resources.get("requests", {}).get(name, limit)
            if _exceeds(request, limit):
                yield f"container {container.get('name')!r} requests {request} {name}, more than its limit of {limit}"


def _exceeds(request: object, limit: object) -> bool:
    try:
        return amount(str(request)) > amount(str(limit))
    except ValueError:  # of a patch, in a form that only Kubernetes knows
        return False


def _broken(template: Mapping[str, Any], unpatched: Mapping[str, Any]) -> Iterator[str]:
    """A patch that takes away what the outcome and the watch depend on."""
    worker = unpatched["spec"]["containers"][0]
    now = {each.get("name"): each for each in template["spec"].get("containers", ())}.get(worker["name"], {})
    for field in _KEPT:
        if now.get(field) != worker.get(field):
            yield f"the patch changes {field} of the container {worker['name']!r}"
    if template["spec"].get("restartPolicy") != "Never":
        yield "the patch changes restartPolicy: an attempt runs once"
    labels = template.get("metadata", {}).get("labels", {})
    for name, value in unpatched["metadata"]["labels"].items():
        if (name in (MANAGED_BY, INSTANCE) or name.startswith(f"{DOMAIN}/")) and labels.get(name) != value:
            yield f"the patch changes the label {name}, by which the pod is found"

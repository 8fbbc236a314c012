"""The parts of a pod in Kubernetes' own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from klassd.workflows.options import Needs, Service
from klassd.workflows.order import Order
from klassd.workflows.pod_shape import (
    Claim,
    ConfigMapKey,
    ConfigMapVolume,
    ContainerSecurity,
    EmptyDir,
    FromSecret,
    HostPath,
    Mount,
    PodField,
    PodSecurity,
    SecretKey,
    SecretVolume,
    Source,
    Toleration,
    Value,
    Volume,
)
from klassd.workflows.quantities import NONE, sides

LARGE = 4096  # characters of one variable


def said(**fields: Any) -> dict[str, Any]:
    """Without what says nothing."""
    return {name: value for name, value in fields.items() if value is not None and value != {} and value != []}


def variables(env: Mapping[str, Value | None]) -> list[dict[str, Any]]:
    return [{"name": name, **_value(value)} for name, value in env.items() if value is not None]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"value": value}
    if isinstance(value, PodField):
        return {"valueFrom": {"fieldRef": {"fieldPath": value.path}}}
    kind = "secretKeyRef" if isinstance(value, SecretKey) else "configMapKeyRef"
    assert isinstance(value, SecretKey | ConfigMapKey)
    return {"valueFrom": {kind: said(name=value.name, key=value.key, optional=value.optional or None)}}


def literal(text: str) -> str:
    """As the value of a variable that nothing is to be expanded in: Kubernetes reads ``$$`` as ``$``, ``$(X)`` as X's value."""
    return text.replace("$", "$$")


def inputs(order: Order) -> list[dict[str, Any]]:
    """The job's inputs for the containers beside it: text as it is, anything else as JSON. What no variable can hold, or
    should, is for the job alone."""
    texts = {f"KLASSD_INPUT_{name.upper()}": _text(value) for name, value in order.inputs.items() if name.isascii()}
    return [{"name": name, "value": literal(text)} for name, text in texts.items() if len(text) <= LARGE and "\0" not in text]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def sources(env_from: Mapping[str, Source | None]) -> list[dict[str, Any]]:
    return [_source(source) for source in env_from.values() if source is not None]


def _source(source: Source) -> dict[str, Any]:
    kind = "secretRef" if isinstance(source, FromSecret) else "configMapRef"
    return said(prefix=source.prefix or None, **{kind: said(name=source.name, optional=source.optional or None)})


def volumes(by_name: Mapping[str, Volume | None]) -> list[dict[str, Any]]:
    return [{"name": name, **_volume(volume)} for name, volume in by_name.items() if volume is not None]


def _volume(volume: Volume) -> dict[str, Any]:
    match volume:
        case EmptyDir():
            return {"emptyDir": said(sizeLimit=volume.size, medium=volume.medium)}
        case SecretVolume():
            return {"secret": {"secretName": volume.name, **_files(volume)}}
        case ConfigMapVolume():
            return {"configMap": {"name": volume.name, **_files(volume)}}
        case Claim():
            return {"persistentVolumeClaim": said(claimName=volume.name, readOnly=volume.read_only or None)}
        case HostPath():
            return {"hostPath": said(path=volume.path, type=volume.kind)}


def _files(volume: SecretVolume | ConfigMapVolume) -> dict[str, Any]:
    items = [{"key": key, "path": path} for key, path in volume.items.items()]
    return said(items=items, defaultMode=volume.mode, optional=volume.optional or None)


def mounts(by_path: Mapping[str, Mount | None]) -> list[dict[str, Any]]:
    return [
        said(name=mount.volume, mountPath=path, readOnly=mount.read_only or None, subPath=mount.sub_path)
        for path, mount in by_path.items()
        if mount is not None
    ]


def resources(needs: Needs | None) -> dict[str, Any]:
    needs = needs or Needs()
    amounts = {"cpu": needs.cpu, "memory": needs.memory, "ephemeral-storage": needs.ephemeral_storage, **needs.extended}
    both = {name: sides(amount) for name, amount in amounts.items() if amount is not None}
    return said(
        requests={name: request for name, (request, _) in both.items() if request and request != NONE},
        limits={name: limit for name, (_, limit) in both.items() if limit and limit != NONE},
    )


def pod_security(security: PodSecurity | None) -> dict[str, Any]:
    security = security or PodSecurity()
    groups = security.supplemental_groups
    return said(
        runAsUser=security.run_as_user,
        runAsGroup=security.run_as_group,
        runAsNonRoot=security.run_as_non_root,
        fsGroup=security.fs_group,
        fsGroupChangePolicy=security.fs_group_change_policy,
        supplementalGroups=None if groups is None else list(groups),
        seccompProfile=_seccomp(security.seccomp),
    )


def container_security(security: ContainerSecurity | None) -> dict[str, Any]:
    security = security or ContainerSecurity()
    return said(
        runAsUser=security.run_as_user,
        runAsGroup=security.run_as_group,
        runAsNonRoot=security.run_as_non_root,
        readOnlyRootFilesystem=security.read_only_root,
        allowPrivilegeEscalation=security.allow_privilege_escalation,
        privileged=security.privileged,
        capabilities=said(add=list(security.add_capabilities or ()), drop=list(security.drop_capabilities or ())),
        seccompProfile=_seccomp(security.seccomp),
    )


def _seccomp(profile: str | None) -> dict[str, str] | None:
    if profile is None or profile in ("RuntimeDefault", "Unconfined"):
        return profile and {"type": profile}  # type: ignore[return-value]
    return {"type": "Localhost", "localhostProfile": profile}


def tolerations(by_name: Mapping[str, Toleration | None]) -> list[dict[str, Any]]:
    return [_toleration(toleration) for toleration in by_name.values() if toleration is not None]


def _toleration(toleration: Toleration) -> dict[str, Any]:
    return said(
        key=toleration.key,
        operator="Exists" if toleration.value is None else "Equal",
        value=toleration.value,
        effect=toleration.effect,
        tolerationSeconds=toleration.seconds,
    )


def readiness(service: Service | None) -> dict[str, Any] | None:
    """How the kubelet asks a service whether it can be used, where it does not say so itself."""
    if service is None or service.ready == "signal" or not service.port:
        return None
    asked: dict[str, Any] = {"tcpSocket": {"port": service.port}}
    if service.ready == "http":
        asked = {"httpGet": {"path": service.path, "port": service.port}}
    return {**asked, "periodSeconds": 1, "timeoutSeconds": 2}

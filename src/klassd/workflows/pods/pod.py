"""``Pod``: the options of a pod as people write them, checked and turned into a ``PodShape``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job_options import Resources, needs_of
from klassd.workflows.pod_shape import (
    ALL,
    Cleared,
    ContainerSecurity,
    ContainerShape,
    FromSecret,
    Mount,
    PodSecurity,
    PodShape,
    Source,
    Toleration,
    Value,
    Volume,
)
from klassd.workflows.pods import checks
from klassd.workflows.quantities import NONE


class InitContainer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A container that must succeed before the job's own starts. It finds the job's inputs in ``KLASSD_INPUT_*``.

    Without an ``image`` it has the job's. ``command`` and ``args`` as in Kubernetes; ``mounts``: path -> volume.
    """

    name: str
    image: str | None = None
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Mapping[str, Value] | None = None
    env_from: Sequence[Source] = ()
    mounts: Mapping[str, str | Mount] | None = None
    resources: Resources | Literal["unconstrained"] | None = None
    security: ContainerSecurity | Cleared | None = None

    @property
    def shape(self) -> ContainerShape:
        return ContainerShape(
            image=self.image,
            command=tuple(self.command),
            args=tuple(self.args),
            env=_entries(self.env),
            env_from=_named(self.env_from, _source_name),
            mounts=_mounts(self.mounts),
            resources=None if self.resources is None else needs_of(self.resources),
            security=_security(self.security, ContainerSecurity),
        )


class Sidecar(InitContainer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A container that runs beside the job's own, as long as that one runs."""


class Pod(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pods of a job or node look like; what is left out is as the executor's defaults say.

    Layers go over one another, executor < job < node: maps by key, lists by name, everything else by itself. "none" clears
    what a weaker layer said, ``None`` under a key of a map clears that entry. ``patch`` is an overlay of the pod
    (``{"spec": {"runtimeClassName": "gvisor"}}``), applied last. Resources are an option of their own. Local executors
    ignore all of it. Raises ``ConfigurationError`` with all problems.
    """

    image: str | None = None
    env: Mapping[str, Value | None] | Cleared | None = None
    env_from: Sequence[Source] | Cleared = ()
    volumes: Mapping[str, Volume | None] | Cleared | None = None
    mounts: Mapping[str, str | Mount | None] | Cleared | None = None
    init_containers: Sequence[InitContainer] | Cleared = ()
    sidecars: Sequence[Sidecar] | Cleared = ()
    pod_security: PodSecurity | Cleared | None = None
    security: ContainerSecurity | Cleared | None = None
    labels: Mapping[str, str | None] | Cleared | None = None
    annotations: Mapping[str, str | None] | Cleared | None = None
    node_selector: Mapping[str, str | None] | Cleared | None = None
    tolerations: Sequence[Toleration] | Cleared = ()
    affinity: Mapping[str, Any] | Cleared | None = None
    priority_class: str | None = None
    service_account: str | None = None
    service_account_token: bool | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never", "none"] | None = None
    image_pull_secrets: Sequence[str] | Cleared = ()
    host_network: bool | None = None
    patch: Mapping[str, Any] | Cleared | None = None

    def __post_init__(self) -> None:
        problems = list(checks.problems(self))
        if problems:
            raise ConfigurationError("; ".join(f"Pod: {problem}" for problem in problems))

    @property
    def shape(self) -> PodShape:
        return PodShape(
            image=self.image,
            env=_entries(self.env),
            env_from=_named(self.env_from, _source_name),
            volumes=_entries(self.volumes),
            mounts=_mounts(self.mounts),
            init_containers=_containers(self.init_containers),
            sidecars=_containers(self.sidecars),
            pod_security=_security(self.pod_security, PodSecurity),
            security=_security(self.security, ContainerSecurity),
            labels=_entries(self.labels),
            annotations=_entries(self.annotations),
            node_selector=_entries(self.node_selector),
            tolerations=_named(self.tolerations, _toleration_name),
            affinity=_entries(self.affinity),
            priority_class=self.priority_class,
            service_account=self.service_account,
            service_account_token=self.service_account_token,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets={name: each and True for name, each in _named(self.image_pull_secrets, str).items()},
            host_network=self.host_network,
            patches=() if self.patch is None else (NONE if self.patch == NONE else dict(self.patch),),  # type: ignore[arg-type]
        )


def _entries(given: Mapping[str, Any] | str | None) -> dict[str, Any]:
    return {ALL: None} if isinstance(given, str) else dict(given or {})


def _named(given: Sequence[Any] | str, name: Any) -> dict[str, Any]:
    return {ALL: None} if isinstance(given, str) else {name(each): each for each in given}


def _mounts(given: Mapping[str, str | Mount | None] | str | None) -> dict[str, Mount | None]:
    return {path: Mount(each) if isinstance(each, str) else each for path, each in _entries(given).items()}


def _containers(given: Sequence[InitContainer] | str) -> dict[str, ContainerShape | None]:
    found = _named(given, lambda each: each.name)
    return {name: each and each.shape for name, each in found.items()}


def _security(given: Any, kind: Any) -> Any:
    return kind(clear=True) if given == NONE else given


def _source_name(source: Source) -> str:
    kind = "secret" if isinstance(source, FromSecret) else "config_map"
    return f"{kind}/{source.prefix}{source.name}"


def _toleration_name(toleration: Toleration) -> str:
    """What makes two tolerations the same one: all but how long they last."""
    return f"{toleration.key or ''}={toleration.value or ''}:{toleration.effect or ''}"

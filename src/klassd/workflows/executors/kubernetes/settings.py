"""What the executor must be told of a cluster, and what its pods look like unless a job says otherwise."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job_options import Resources, needs_of
from klassd.workflows.options import seconds
from klassd.workflows.pod_shape import PodShape
from klassd.workflows.pods import Pod

LEAST_KEPT = 600.0  # seconds
_CALLBACK = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")

Hazard = Literal["host_path", "host_network", "privileged"]


class KubernetesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[kubernetes]`` in klassd.toml, or ``KLASSD_KUBERNETES_*`` for what is text; image and namespace are settings of
    their own."""

    image: str | None = None  # of every job that names none of its own
    namespace: str | None = None  # where the pods run; default: the scheduler's own, or that of the kubeconfig's context
    kubeconfig: str | None = None  # path; default: the pod's own service account, then KUBECONFIG, then ~/.kube/config
    context: str | None = None  # of the kubeconfig; default: its current one
    service_account: str | None = None  # of the pods of jobs that name none of their own
    instance: str = "klassd"  # tells the pods of one installation from those of another in the same namespace
    concurrency: int = 100  # executions at once
    keep: str | float = "1h"  # how long Kubernetes keeps a Job whose outcome is stored, at least 10m
    active_deadline: str | float = "24h"  # after which Kubernetes itself ends a Job without a timeout, if no scheduler does
    start_deadline: str | float | None = None  # from launch to start, for jobs that have none of their own
    callback: str | None = None  # URL of `klassd serve` as pods reach it: then each claims its start there before it runs
    allow: tuple[Hazard, ...] = ()  # what breaks out of the isolation of a pod, and no job may have unless it stands here
    pod: Pod | None = None  # what pods look like unless the job says otherwise
    resources: Resources | Literal["unconstrained"] | None = None  # of jobs that ask for none

    def __post_init__(self) -> None:
        try:
            _ = self.active_seconds, self.start_seconds, self.keep_seconds, self.claim_url("x")
        except ValueError as error:
            raise ConfigurationError(f"Kubernetes: {error}") from None

    @property
    def shape(self) -> PodShape:
        """What the executor says of every pod."""
        said = self.pod.shape if self.pod else PodShape()
        return msgspec.structs.replace(
            said,
            image=said.image or self.image,
            service_account=said.service_account or self.service_account,
            resources=None if self.resources is None else needs_of(self.resources),
        )

    @property
    def active_seconds(self) -> float:
        return seconds(self.active_deadline, "active_deadline")

    @property
    def keep_seconds(self) -> int:
        """A Job's name keeps a late launch from starting it again, so it has to outlive whoever may still launch it."""
        found = seconds(self.keep, "keep")
        if found < LEAST_KEPT:
            raise ValueError(f"keep is {self.keep!r}: expected at least {LEAST_KEPT:g} s")
        return round(found)

    def claim_url(self, execution_id: str) -> str | None:
        """Where a pod claims the start of an execution."""
        if self.callback is None:
            return None
        if not _CALLBACK.fullmatch(self.callback):
            raise ValueError(
                f"callback is {self.callback!r}: expected http://HOST:PORT or https://HOST, where pods reach a `klassd serve`"
            )
        return f"{self.callback.rstrip('/')}/api/v1/executions/{quote(execution_id, safe='')}/start"

    @property
    def start_seconds(self) -> float | None:
        return None if self.start_deadline is None else seconds(self.start_deadline, "start_deadline")


def from_settings(settings: Any) -> KubernetesSettings:
    """What ``klassd.workflows.settings`` says of it. Raises ``ConfigurationError``."""
    plain = {name: value for name in ("image", "namespace", "concurrency") if (value := getattr(settings, name)) is not None}
    try:
        return msgspec.convert({**settings.kubernetes, **plain}, KubernetesSettings, strict=False)
    except (msgspec.ValidationError, ConfigurationError) as error:
        raise ConfigurationError(f"[kubernetes] cannot be used: {error}") from error

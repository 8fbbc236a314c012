"""What the pod of an execution looks like. ``Pod`` is how people write it, ``PodShape`` what a run keeps of it.

Kept out of every worker that has nothing to do with pods: only the scheduler's side imports it.
"""

from __future__ import annotations

from klassd.workflows.pod_shape import (
    Claim,
    ConfigMapKey,
    ConfigMapVolume,
    ContainerSecurity,
    ContainerShape,
    EmptyDir,
    FromConfigMap,
    FromSecret,
    HostPath,
    Mount,
    PodField,
    PodSecurity,
    PodShape,
    SecretKey,
    SecretVolume,
    Toleration,
)
from klassd.workflows.pods.pod import InitContainer, Pod, Sidecar

__all__ = [
    "Claim",
    "ConfigMapKey",
    "ConfigMapVolume",
    "ContainerSecurity",
    "ContainerShape",
    "EmptyDir",
    "FromConfigMap",
    "FromSecret",
    "HostPath",
    "InitContainer",
    "Mount",
    "Pod",
    "PodField",
    "PodSecurity",
    "PodShape",
    "SecretKey",
    "SecretVolume",
    "Sidecar",
    "Toleration",
]

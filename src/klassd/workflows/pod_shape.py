"""The shape of a pod as data: stored in a run's snapshot, so no secret is ever in it, only where one lies.

Every field has a value that says nothing, so that shapes can be laid over one another (``rules.pods``):

    None         nothing is said
    "none"       whatever a lower layer said is cleared, and Kubernetes' own default holds
    {"a": None}  the entry "a" of a lower layer is cleared; under ``ALL``, every entry of all lower layers
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from klassd.workflows.options import Needs

T = TypeVar("T")
Cleared = Literal["none"]
Named = dict[str, T | None]
ALL = "*"  # the key that stands for every entry of the layers below


# -- values of variables: where they are found, never what they are -----------------------------------------------


class SecretKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="secret"):
    """A variable's value from a key of a Kubernetes Secret."""

    name: str
    key: str
    optional: bool = False


class ConfigMapKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="config_map"):
    """A variable's value from a key of a ConfigMap."""

    name: str
    key: str
    optional: bool = False


class PodField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="field"):
    """A variable's value from the pod itself, such as ``status.podIP`` or ``spec.nodeName``."""

    path: str


class FromSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="secret"):
    """Every key of a Secret as a variable."""

    name: str
    prefix: str = ""
    optional: bool = False


class FromConfigMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="config_map"):
    """Every key of a ConfigMap as a variable."""

    name: str
    prefix: str = ""
    optional: bool = False


Value = str | SecretKey | ConfigMapKey | PodField
Source = FromSecret | FromConfigMap


# -- files ----------------------------------------------------------------------------------------------------------


class EmptyDir(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="empty_dir"):
    """An empty directory that lives as long as the pod. ``medium="Memory"`` keeps it in RAM, on the memory limit's bill."""

    size: str | None = None
    medium: Literal["Memory"] | None = None


class SecretVolume(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="secret"):
    """The keys of a Secret as files; ``items``: only these, key -> path."""

    name: str
    items: dict[str, str] = {}
    mode: int | None = None
    optional: bool = False


class ConfigMapVolume(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="config_map"):
    """The keys of a ConfigMap as files; ``items``: only these, key -> path."""

    name: str
    items: dict[str, str] = {}
    mode: int | None = None
    optional: bool = False


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="claim"):
    """A PersistentVolumeClaim that exists in the namespace."""

    name: str
    read_only: bool = False


class HostPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="host_path"):
    """A path of the node. The executor must allow it: it breaks the isolation of every pod there."""

    path: str
    kind: str | None = None  # what must be there: "Directory", "DirectoryOrCreate", "File", ...


Volume = EmptyDir | SecretVolume | ConfigMapVolume | Claim | HostPath


class Mount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a volume is seen: the volume's name, for the path it stands under."""

    volume: str
    read_only: bool = False
    sub_path: str | None = None


# -- security and placement -----------------------------------------------------------------------------------------


class PodSecurity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The security context of a pod. ``clear``: nothing of a lower layer holds."""

    run_as_user: int | Cleared | None = None
    run_as_group: int | Cleared | None = None
    run_as_non_root: bool | None = None
    fs_group: int | Cleared | None = None
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = None
    supplemental_groups: tuple[int, ...] | None = None
    seccomp: str | None = None  # "RuntimeDefault", "Unconfined", or the path of a profile on the node
    clear: bool = False


class ContainerSecurity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The security context of a container. ``clear``: nothing of a lower layer holds."""

    run_as_user: int | Cleared | None = None
    run_as_group: int | Cleared | None = None
    run_as_non_root: bool | None = None
    read_only_root: bool | None = None
    allow_privilege_escalation: bool | None = None
    privileged: bool | None = None
    add_capabilities: tuple[str, ...] | None = None
    drop_capabilities: tuple[str, ...] | None = None
    seccomp: str | None = None
    clear: bool = False


class Toleration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lets the pod onto nodes with this taint. Without a key: any taint. Without a value: the key with any value."""

    key: str | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = None  # with NoExecute: how long the pod stays after the taint appeared


# -- the whole --------------------------------------------------------------------------------------------------------


class ContainerShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container beside the one that works."""

    image: str | None = None  # None: the image of the job itself
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Named[Value] = {}
    env_from: Named[Source] = {}
    mounts: Named[Mount] = {}  # path -> which volume
    resources: Needs | None = None
    security: ContainerSecurity | None = None


class PodShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one layer (executor, job or node) says of a pod. ``PodShape()`` says nothing."""

    image: str | None = None
    resources: Needs | None = None
    env: Named[Value] = {}
    env_from: Named[Source] = {}
    volumes: Named[Volume] = {}
    mounts: Named[Mount] = {}  # path -> which volume
    init_containers: Named[ContainerShape] = {}
    sidecars: Named[ContainerShape] = {}
    pod_security: PodSecurity | None = None
    security: ContainerSecurity | None = None  # of the container that works
    labels: Named[str] = {}
    annotations: Named[str] = {}
    node_selector: Named[str] = {}
    tolerations: Named[Toleration] = {}
    affinity: Named[Any] = {}  # "nodeAffinity", "podAffinity", "podAntiAffinity": as Kubernetes writes them
    priority_class: str | None = None
    service_account: str | None = None
    service_account_token: bool | None = None  # whether the pod gets credentials for the cluster's API
    image_pull_policy: Literal["Always", "IfNotPresent", "Never", "none"] | None = None
    image_pull_secrets: Named[Literal[True]] = {}
    host_network: bool | None = None
    patches: tuple[dict[str, Any] | Cleared, ...] = ()  # overlays of the pod template, applied last, in order

"""The pod that a job gets when nobody says anything: it passes the *restricted* Pod Security Standard.

A shape like any other, the weakest layer: each part of it is changed as any part of a shape is.
"""

from __future__ import annotations

from klassd.workflows.options import Needs
from klassd.workflows.pod_shape import ContainerSecurity, EmptyDir, Mount, PodSecurity, PodShape

NOBODY = 65532  # "nonroot" of the distroless images

RESOURCES = Needs(cpu="100m/", memory="128Mi/512Mi", ephemeral_storage="256Mi/2Gi")

SECURITY = ContainerSecurity(
    allow_privilege_escalation=False, read_only_root=True, privileged=False, drop_capabilities=("ALL",)
)

DEFAULT = PodShape(
    resources=RESOURCES,
    env={"HOME": "/tmp"},  # noqa: S108 - the only place that can be written to
    volumes={"tmp": EmptyDir(size="1Gi")},
    mounts={"/tmp": Mount("tmp")},  # noqa: S108
    pod_security=PodSecurity(
        run_as_non_root=True, run_as_user=NOBODY, run_as_group=NOBODY, fs_group=NOBODY, seccomp="RuntimeDefault"
    ),
    security=SECURITY,
    service_account_token=False,
)

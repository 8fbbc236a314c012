"""Who the scheduler is to the API, what it may do there, and that jobs may do nothing."""

from __future__ import annotations

from typing import Any

from klassd.workflows.deploy.installation import Installation
from klassd.workflows.deploy.labels import document
from klassd.workflows.executors.kubernetes.rights import rules

RBAC = "rbac.authorization.k8s.io"


def accounts(installation: Installation) -> list[dict[str, Any]]:
    """No pod gets a token by default; the scheduler's asks for one."""
    names = (installation.name, installation.jobs_account)
    return [document(installation, "v1", "ServiceAccount", name, automountServiceAccountToken=False) for name in names]


def role(installation: Installation) -> dict[str, Any]:
    return document(installation, f"{RBAC}/v1", "Role", installation.name, rules=rules())


def binding(installation: Installation) -> dict[str, Any]:
    subject = {"kind": "ServiceAccount", "name": installation.name}
    if installation.namespace:
        subject["namespace"] = installation.namespace
    return document(
        installation,
        f"{RBAC}/v1",
        "RoleBinding",
        installation.name,
        roleRef={"apiGroup": RBAC, "kind": "Role", "name": installation.name},
        subjects=[subject],
    )

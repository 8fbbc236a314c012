"""All objects of an installation, in the order in which they are best made."""

from __future__ import annotations

from typing import Any

from klassd.workflows.deploy import access, labels, network, scheduler
from klassd.workflows.deploy.installation import Installation

STANDARD = "pod-security.kubernetes.io/enforce"


def manifest(installation: Installation) -> list[dict[str, Any]]:
    return [
        *_namespace(installation),
        *access.accounts(installation),
        access.role(installation),
        access.binding(installation),
        *network.policies(installation),
        *scheduler.config(installation),
        *scheduler.claim(installation),
        scheduler.service(installation),
        scheduler.deployment(installation),
        scheduler.budget(installation),
    ]


def _namespace(installation: Installation) -> list[dict[str, Any]]:
    """One that holds pods to what ours keep to by themselves."""
    if not installation.create_namespace:
        return []
    assert installation.namespace
    metadata = {"labels": {labels.NAME: "klassd", **labels.everything(installation), STANDARD: "restricted"}}
    return [labels.document(installation, "v1", "Namespace", installation.namespace, metadata=metadata)]

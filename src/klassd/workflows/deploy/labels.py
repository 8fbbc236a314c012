"""By which the objects of an installation are found, and told from the executions that it starts."""

from __future__ import annotations

from typing import Any

from klassd.workflows.deploy.installation import Installation
from klassd.workflows.executors.kubernetes.names import INSTANCE, MANAGED_BY

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


def everything(installation: Installation) -> dict[str, str]:
    """Executions have these too, so one selector finds all there is; ``managed-by=klassd`` is theirs alone."""
    return {INSTANCE: installation.name}


def scheduler(installation: Installation) -> dict[str, str]:
    return {NAME: "klassd", **everything(installation), COMPONENT: "scheduler"}


def executions(installation: Installation) -> dict[str, str]:
    """What the executor gives to every pod of a job."""
    return {MANAGED_BY: "klassd", **everything(installation)}


def document(installation: Installation, api: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object of the installation; ``metadata`` in ``more`` is laid over what all of them have."""
    metadata = {"name": name, "labels": {NAME: "klassd", **everything(installation)}, **more.pop("metadata", {})}
    if installation.namespace and kind != "Namespace":
        metadata["namespace"] = installation.namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}

"""A Job that never has a pod. It takes the name of an execution that is told as lost, so that nobody starts it any more."""

from __future__ import annotations

from typing import Any

from klassd.workflows.executors.kubernetes import names
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings


def tombstone(execution_id: str, settings: KubernetesSettings) -> dict[str, Any]:
    labels = {
        names.MANAGED_BY: "klassd",
        names.INSTANCE: names.label_value(settings.instance),
        names.EXECUTION: names.label_value(execution_id),
    }
    container = {"name": "never", "image": "never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.job_name(execution_id),
            "labels": labels,
            "annotations": {names.EXECUTION: execution_id},
        },
        "spec": {
            "parallelism": 0,
            "template": {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }

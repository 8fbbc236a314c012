"""The scheduler's own pod, where it is found, and what it keeps."""

from __future__ import annotations

import hashlib
from typing import Any

from klassd.workflows.deploy import labels
from klassd.workflows.deploy.installation import PORT, STATE, Installation, secret_of
from klassd.workflows.executors.kubernetes.defaults import DEFAULT, SECURITY
from klassd.workflows.executors.kubernetes.names import DOMAIN
from klassd.workflows.executors.kubernetes.parts import container_security, pod_security, said

COMMAND = ["python3", "-m", "klassd.workflows.cli", "serve", "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104
RESOURCES = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
GRACE = 30  # seconds to let go of its runs
IMPORTING = 120  # seconds that the app may take to come up
CONFIG, FILE = f"{DOMAIN}/config", "klassd.toml"


def deployment(installation: Installation) -> dict[str, Any]:
    selector = labels.scheduler(installation)
    metadata = said(labels=selector, annotations=_stamp(installation))
    spec = {
        "replicas": installation.replicas,
        "strategy": {"type": "Recreate" if installation.embedded else "RollingUpdate"},
        "selector": {"matchLabels": selector},
        "template": {"metadata": metadata, "spec": _pod(installation)},
    }
    return labels.document(installation, "apps/v1", "Deployment", installation.name, spec=spec)


def service(installation: Installation) -> dict[str, Any]:
    port = {"name": "http", "port": PORT, "targetPort": "http"}
    spec = {"selector": labels.scheduler(installation), "ports": [port]}
    return labels.document(installation, "v1", "Service", installation.name, spec=spec)


def claim(installation: Installation) -> list[dict[str, Any]]:
    if not installation.embedded:
        return []
    spec = said(
        accessModes=["ReadWriteOnce"],
        storageClassName=installation.storage_class,
        resources={"requests": {"storage": installation.storage}},
    )
    return [labels.document(installation, "v1", "PersistentVolumeClaim", installation.name, spec=spec)]


def config(installation: Installation) -> list[dict[str, Any]]:
    if installation.config is None:
        return []
    return [labels.document(installation, "v1", "ConfigMap", installation.name, data={FILE: installation.config})]


def budget(installation: Installation) -> dict[str, Any]:
    """A node may be drained at any time, of one scheduler after the other: what runs goes on without them."""
    api = "policy/v1" if installation.release >= (1, 21) else "policy/v1beta1"
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": labels.scheduler(installation)}}
    return labels.document(installation, api, "PodDisruptionBudget", installation.name, spec=spec)


def _stamp(installation: Installation) -> dict[str, str]:
    """A changed configuration makes a new pod; a file mounted by its name would not change in a running one."""
    return {} if installation.config is None else {CONFIG: hashlib.sha256(installation.config.encode()).hexdigest()[:16]}


def _pod(installation: Installation) -> dict[str, Any]:
    return said(
        serviceAccountName=installation.name,
        automountServiceAccountToken=True,
        enableServiceLinks=False,
        terminationGracePeriodSeconds=GRACE,
        securityContext=pod_security(DEFAULT.pod_security),
        containers=[_container(installation)],
        volumes=_volumes(installation),
    )


def _container(installation: Installation) -> dict[str, Any]:
    return said(
        name="scheduler",
        image=installation.image,
        command=COMMAND,
        workingDir=installation.workdir if installation.config is not None else None,
        env=_variables(installation),
        envFrom=[{"secretRef": {"name": name}} for name in installation.secrets],
        ports=[{"name": "http", "containerPort": PORT}],
        startupProbe=_probe("/healthz", periodSeconds=2, failureThreshold=IMPORTING // 2),
        livenessProbe=_probe("/healthz", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        readinessProbe=_probe("/readyz", periodSeconds=5, timeoutSeconds=6),
        resources=RESOURCES,
        securityContext=container_security(SECURITY),
        volumeMounts=_mounts(installation),
    )


def _variables(installation: Installation) -> list[dict[str, Any]]:
    plain = {
        "HOME": "/tmp",  # noqa: S108
        "KLASSD_STATE": STATE,
        "KLASSD_APP": installation.app,
        "KLASSD_STORE": installation.store,
        "KLASSD_ARTIFACTS": installation.artifacts,
        "KLASSD_EXECUTOR": "kubernetes",
        "KLASSD_IMAGE": installation.image,
        "KLASSD_KUBERNETES_CALLBACK": f"http://{installation.name}:{PORT}",  # the Service, of the same namespace
        "KLASSD_KUBERNETES_INSTANCE": installation.name,
        "KLASSD_KUBERNETES_SERVICE_ACCOUNT": installation.jobs_account,
    }
    return [{"name": name, **_value(text)} for name, text in plain.items() if text is not None]


def _value(text: str) -> dict[str, Any]:
    secret = secret_of(text)
    return {"valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}} if secret else {"value": text}


def _probe(path: str, **more: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, **more}


def _mounts(installation: Installation) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        {"name": "state", "mountPath": STATE},
    ]
    if installation.config is not None:
        mounts.append({"name": "config", "mountPath": f"{installation.workdir}/{FILE}", "subPath": FILE, "readOnly": True})
    return mounts


def _volumes(installation: Installation) -> list[dict[str, Any]]:
    claimed = {"persistentVolumeClaim": {"claimName": installation.name}}
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "state", **(claimed if installation.embedded else {"emptyDir": {}})},
    ]
    if installation.config is not None:
        volumes.append({"name": "config", "configMap": {"name": installation.name}})
    return volumes

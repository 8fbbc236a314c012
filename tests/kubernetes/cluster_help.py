"""What the tests do to a cluster besides what the executor does: by its plain API."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fake_api import NEW, OLD
from lightkube import KubeConfig
from lightkube.config.client_adapter import ConnectionParams

from klassd.workflows.executors.kubernetes import KubernetesExecutor
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.system import SystemIds

PATIENCE = 60.0  # seconds for anything of the cluster to come about
REAL = "real"

# Marks the tests that are the same on a real cluster and on fakes: a fake is trusted for what the real one passes too.
everywhere = pytest.mark.parametrize(
    "cluster", [OLD, NEW, REAL], indirect=True, ids=lambda where: where if where == REAL else f"fake {where.name}"
)


class Cluster:
    """One namespace, made for these tests and removed with all that is in it."""

    def __init__(self, kubeconfig: str, image: str, haste: float = 1.0) -> None:
        self.kubeconfig, self.image, self._haste = kubeconfig, image, haste
        self.namespace = f"klassd-test-{SystemIds().token()[:8]}"
        config = KubeConfig.from_file(kubeconfig).get()
        assert config is not None
        self._http = httpx2.Client(**ConnectionParams().httpx_params(config))
        self.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.until(lambda: self.get("/api/v1/namespaces/{}/serviceaccounts/default"), "a default service account")

    def close(self) -> None:
        self.delete("/api/v1/namespaces/{}")
        self._http.close()

    def soon(self, seconds: float) -> str:
        """So long on a real cluster; there is no reason to wait for a fake one."""
        return f"{seconds / self._haste:g}s"

    def settings(self, **more: Any) -> KubernetesSettings:
        said = {"kubeconfig": self.kubeconfig, "namespace": self.namespace, "image": self.image}
        return KubernetesSettings(**said | more)

    def executor(self, **more: Any) -> KubernetesExecutor:
        return KubernetesExecutor(self.settings(**more))

    @property
    def here(self) -> str:
        """The address at which pods reach this machine: the one from which it reaches a node."""
        nodes = self.get("/api/v1/nodes")
        assert nodes
        (node, *_) = [each for each in nodes["items"][0]["status"]["addresses"] if each["type"] == "InternalIP"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((node["address"], 9))  # sends nothing
            found: str = way.getsockname()[0]
            return found

    # -- its objects --------------------------------------------------------------------------------------------

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        answer = self._http.get(path.format(self.namespace), params=query)
        if answer.status_code == 404:
            return None
        assert answer.status_code < 300, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def create(self, path: str, manifest: dict[str, Any]) -> None:
        answer = self._http.post(path.format(self.namespace), json=manifest)
        assert answer.status_code < 300, answer.text

    def delete(self, path: str, **options: Any) -> None:
        answer = self._http.request("DELETE", path.format(self.namespace), json=options or None)
        assert answer.status_code < 300, answer.text

    def token(self, service_account: str) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{service_account}/token"
        answer = self._http.post(path, json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        assert answer.status_code < 300, answer.text
        found: str = answer.json()["status"]["token"]
        return found

    def evict(self, pod: str) -> None:
        body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        answer = self._http.post(path, json=body)
        if answer.status_code in (400, 404):  # from Kubernetes 1.22 on
            answer = self._http.post(path, json={**body, "apiVersion": "policy/v1"})
        assert answer.status_code < 300, answer.text

    def pods(self, execution_id: str) -> list[dict[str, Any]]:
        return self._labelled("/api/v1/namespaces/{}/pods", execution_id)

    def jobs(self, execution_id: str) -> list[dict[str, Any]]:
        return self._labelled("/apis/batch/v1/namespaces/{}/jobs", execution_id)

    def _labelled(self, path: str, execution_id: str) -> list[dict[str, Any]]:
        found = self.get(path, labelSelector=f"klassd.dev/execution={execution_id}")
        assert found
        items: list[dict[str, Any]] = found["items"]
        return items

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """The answer, once there is one."""
        end = time.monotonic() + PATIENCE
        while not (found := holds()):
            assert time.monotonic() < end, f"waited {PATIENCE:g} s for {what}"
            time.sleep(0.1)
        return found

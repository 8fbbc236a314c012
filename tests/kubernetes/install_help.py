"""An installation on a real cluster, made as its users make one: ``klassd manifest``, an overlay, ``kubectl apply -k``."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from cluster_help import Cluster

from klassd.workflows.deploy.installation import PORT
from klassd.workflows.deploy.scheduler import COMMAND
from klassd.workflows.testing.proxy import FaultProxy

NAME = "shop"  # of the installation; other tests of the same namespace have other schedulers
APP = "cluster_jobs:app"
SECONDS = 120  # for one command
CLI = ("python3", "-m", "klassd.workflows.cli")  # an image need not have `klassd` on its PATH
KINDS = "deploy,pods,svc,pvc,cm,secrets,sa,role,rolebinding,networkpolicy,pdb,jobs,rs"
SELECTOR = f"app.kubernetes.io/instance={NAME}"


class Kubectl:
    def __init__(self, program: str, cluster: Cluster) -> None:
        self._command = [program, "--kubeconfig", cluster.kubeconfig, "--namespace", cluster.namespace]
        self.client, self.server = (self._minor(which) for which in ("clientVersion", "serverVersion"))

    def __call__(self, *words: str, given: str | None = None) -> str:
        done = subprocess.run(
            [*self._command, *words], input=given, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _minor(self, which: str) -> int:
        return int(json.loads(self("version", "-o", "json"))[which]["minor"].rstrip("+"))


class Installation:
    """``base`` as the command wrote it, ``overlay`` with what this cluster is short of."""

    def __init__(self, cluster: Cluster, kubectl: Kubectl, place: Path) -> None:
        self.cluster, self.kubectl = cluster, kubectl
        self.base, self.overlay = place / "base", place / "overlay"

    def manifest(self, *more: str) -> str:
        options = ["--image", self.cluster.image, "--name", NAME, "--kubernetes", f"1.{self.kubectl.server}", *more]
        done = subprocess.run(
            [sys.executable, "-m", "klassd.workflows.cli", "manifest", APP, *options],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def write(self, api: str | None) -> None:
        """``api``: HOST:PORT of the API server, where pods do not find it by themselves."""
        self.manifest("--kustomize", str(self.base))
        self.overlay.mkdir()
        container = {
            "name": "scheduler",
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            **(_without_services(api) if api else {}),
        }
        patch = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME},
            "spec": {"template": {"spec": {"containers": [container], "terminationGracePeriodSeconds": 10}}},
        }
        (self.overlay / "scheduler.yaml").write_text(yaml.safe_dump(patch))
        (self.overlay / "kustomization.yaml").write_text(yaml.safe_dump(self._kustomization()))

    def _kustomization(self) -> dict[str, Any]:
        if self.kubectl.client < 21:  # its kustomize is of 2019
            return {"bases": ["../base"], "namespace": self.cluster.namespace, "patchesStrategicMerge": ["scheduler.yaml"]}
        return {"resources": ["../base"], "namespace": self.cluster.namespace, "patches": [{"path": "scheduler.yaml"}]}

    def apply(self) -> None:
        self.kubectl("apply", "-k", str(self.overlay))
        self.ready()

    def ready(self) -> None:
        self.kubectl("rollout", "status", f"deploy/{NAME}", f"--timeout={SECONDS}s")

    def klassd(self, *words: str) -> str:
        """In the scheduler's pod."""
        return self.kubectl("exec", f"deploy/{NAME}", "--", *CLI, *words)

    def enqueue(self, *words: str) -> str:
        return str(json.loads(self.klassd("enqueue", *words, "--json"))["id"])

    def status(self, run: str) -> str:
        return str(json.loads(self.klassd("show", run, "--json"))["status"])

    def pods(self, component: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-l", f"{SELECTOR},{component}", "-o", "json"))[
            "items"
        ]
        return found

    def left(self) -> list[str]:
        return self.kubectl("get", KINDS, "-l", SELECTOR, "-o", "name").split()


def _without_services(api: str) -> dict[str, Any]:
    """Where the address of a Service leads nowhere: the API is elsewhere, and pods claim their start at the scheduler's own."""
    host, _, port = api.rpartition(":")
    own = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    there = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    serve = f"KLASSD_KUBERNETES_CALLBACK=http://$POD_IP:{PORT} exec {shlex.join(COMMAND)}"
    return {
        "env": [own, *({"name": name, "value": value} for name, value in there.items())],
        "command": ["sh", "-c", serve],
    }


@contextmanager
def api_for_pods(cluster: Cluster) -> Iterator[str | None]:
    """HOST:PORT for a cluster whose pods do not reach its API at the usual address; None: they do."""
    if cluster.get("/api/v1/namespaces/default/endpoints/kubernetes"):
        yield None
        return
    nodes = (cluster.get("/api/v1/nodes") or {})["items"]
    host = next(each["address"] for each in nodes[0]["status"]["addresses"] if each["type"] == "InternalIP")
    server = urlsplit(yaml.safe_load(Path(cluster.kubeconfig).read_text())["clusters"][0]["cluster"]["server"])
    assert server.hostname and server.port
    with _forwarded(host, (server.hostname, server.port)) as address:
        yield address


@contextmanager
def _forwarded(host: str, target: tuple[str, int]) -> Iterator[str]:
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[str] = []

    async def serve() -> None:
        async with FaultProxy(target, host=host) as proxy:
            found.append(":".join(map(str, proxy.address)))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@contextmanager
def volume_for(cluster: Cluster, claim: str) -> Iterator[None]:
    """A volume of the node for the claim, where the cluster makes none by itself. A pod makes and removes what is on it."""
    if (cluster.get("/apis/storage.k8s.io/v1/storageclasses") or {})["items"]:
        yield
        return
    name = f"{cluster.namespace}-{claim}"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": f"/var/tmp/{name}"},
        "claimRef": {"namespace": cluster.namespace, "name": claim},
    }
    _as_root_on_the_node(cluster, "make", f"os.mkdir('/host/{name}'); os.chown('/host/{name}', 65532, 65532)")
    cluster.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})
    try:
        yield
    finally:
        cluster.delete(f"/api/v1/persistentvolumes/{name}")
        _as_root_on_the_node(cluster, "remove", f"import shutil; shutil.rmtree('/host/{name}')")


def _as_root_on_the_node(cluster: Cluster, name: str, code: str) -> None:
    container = {
        "name": "root",
        "image": cluster.image,
        "command": ["python3", "-c", f"import os; {code}"],
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
        "securityContext": {"runAsUser": 0},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "host", "hostPath": {"path": "/var/tmp"}}],
    }
    pods = "/api/v1/namespaces/{}/pods"
    cluster.create(pods, {"metadata": {"name": f"volume-{name}"}, "spec": spec})
    done = cluster.until(lambda: _ended(cluster.get(f"{pods}/volume-{name}")), f"the pod volume-{name} to end")
    assert done == "Succeeded", done
    cluster.delete(f"{pods}/volume-{name}")


def _ended(pod: dict[str, Any] | None) -> str | None:
    phase = pod["status"].get("phase") if pod else None
    return phase if phase in ("Succeeded", "Failed") else None


def program() -> str | None:
    from shutil import which

    return os.environ.get("KLASSD_TEST_KUBECTL") or which("kubectl")

"""Schedulers that are processes of their own, on one store, with the cluster of the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cluster_help import Cluster
from scheduler_program import SCHEDULER

from klassd.workflows.client import Client, RunView
from klassd.workflows.composition import make_client, make_store

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 120.0  # seconds for a run


class Runs:
    """A store, and schedulers on it that work with the cluster. ``path``: where they run, so a klassd.toml there holds."""

    def __init__(self, cluster: Cluster, path: Path) -> None:
        self.cluster, self.path = cluster, path
        self.store = f"sqlite:///{path}/klassd.db"
        self._schedulers: list[subprocess.Popen[bytes]] = []
        self._env = {name: text for name, text in os.environ.items() if not name.startswith("KLASSD_")} | {
            "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}",
            "KLASSD_STORE": self.store,
            "KLASSD_STATE": str(path),
            "KLASSD_EXECUTOR": "kubernetes",
            "KLASSD_IMAGE": cluster.image,
            "KLASSD_NAMESPACE": cluster.namespace,
            "KLASSD_KUBERNETES_KUBECONFIG": cluster.kubeconfig,
            "KLASSD_LEASE": "2",
        }

    def start(self, app: str = "cluster_jobs:app", **env: str) -> subprocess.Popen[bytes]:
        """A scheduler in a process of its own, once it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER, app], cwd=self.path, env=self._env | env, stdout=subprocess.PIPE
        )
        self._schedulers.append(process)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()

    def close(self) -> None:
        for process in self._schedulers:
            self.kill(process)

    def ask(self, question: Callable[[Client], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with make_client(make_store(self.store)) as client:
                return await question(client)

        return asyncio.run(main())

    def klassd(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "klassd.workflows.cli", *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def enqueue(self, what: Any) -> str:
        return str(self.ask(lambda client: client.enqueue(what)))

    def finished(self, run_id: str) -> RunView:
        return self.until(run_id, lambda view: view.run.status.final)

    def until(self, run_id: str, holds: Callable[[RunView], object]) -> RunView:
        end = time.monotonic() + PATIENCE
        while not holds(view := self.ask(lambda client: client.view(run_id))):
            assert time.monotonic() < end, f"waited {PATIENCE:g} s; the run is {view.run.status}"
            time.sleep(0.2)
        found: RunView = view
        return found

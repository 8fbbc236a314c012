"""The suite of every executor, on a real cluster."""

from __future__ import annotations

import pytest
from cluster_help import Cluster

from klassd.workflows.ports import Executor
from klassd.workflows.testing import ExecutorConformance


class TestKubernetesExecutor(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def _on(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def executor(self) -> Executor:
        return self._cluster.executor()

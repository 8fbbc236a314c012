"""The suite of every executor, on a real cluster and on fakes."""

from __future__ import annotations

import pytest
from cluster_help import Cluster, everywhere

from klassd.workflows.ports import Executor
from klassd.workflows.testing import ExecutorConformance


@everywhere
class TestKubernetesExecutor(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def _on(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def executor(self) -> Executor:
        return self._cluster.executor()

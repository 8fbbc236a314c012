"""A namespace of its own on the cluster that KLASSD_TEST_KUBECONFIG names, for the tests of this directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_help import Cluster
from cluster_runs import Runs

MISSING = "needs a Kubernetes: set KLASSD_TEST_KUBECONFIG, and KLASSD_TEST_IMAGE (see `make test-cluster`)"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    kubeconfig, image = os.environ.get("KLASSD_TEST_KUBECONFIG"), os.environ.get("KLASSD_TEST_IMAGE")
    if not kubeconfig or not image:
        pytest.skip(MISSING)
    found = Cluster(kubeconfig, image)
    yield found
    found.close()


@pytest.fixture
def runs(cluster: Cluster, tmp_path: Path) -> Iterator[Runs]:
    found = Runs(cluster, tmp_path)
    yield found
    found.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)

"""Where the tests of this directory run: on the cluster that KLASSD_TEST_KUBECONFIG names, in a namespace of its own; and the
same ones on fakes of several releases of Kubernetes, on any machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_help import REAL, Cluster
from cluster_runs import Runs
from fake_api import FakeCluster, Release

MISSING = "needs a Kubernetes: set KLASSD_TEST_KUBECONFIG, and KLASSD_TEST_IMAGE (see `make test-cluster`)"


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The real one; fakes too for tests that are marked ``everywhere``."""
    where = getattr(request, "param", REAL)
    if isinstance(where, Release):
        with FakeCluster(where) as fake:
            yield from _namespace(fake.kubeconfig, "fake:1", haste=4.0)
    else:
        kubeconfig, image = os.environ.get("KLASSD_TEST_KUBECONFIG"), os.environ.get("KLASSD_TEST_IMAGE")
        if not kubeconfig or not image:
            pytest.skip(MISSING)
        yield from _namespace(kubeconfig, image)


def _namespace(kubeconfig: str, image: str, haste: float = 1.0) -> Iterator[Cluster]:
    found = Cluster(kubeconfig, image, haste)
    yield found
    found.close()


@pytest.fixture
def runs(cluster: Cluster, tmp_path: Path) -> Iterator[Runs]:
    found = Runs(cluster, tmp_path)
    yield found
    found.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()) and _where(item) == REAL:
            item.add_marker(pytest.mark.cluster)


def _where(item: pytest.Item) -> object:
    call = getattr(item, "callspec", None)
    return call.params.get("cluster", REAL) if call else REAL

"""``make bench-cluster`` runs, and counts what it says it counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_help import Cluster

from benchmarks.cluster.host import kind

ROOT = Path(__file__).resolve().parents[2]
JOBS = "https://127.0.0.1:6443/apis/batch/v1/namespaces/jobs/jobs"
PODS = "https://127.0.0.1:6443/api/v1/namespaces/jobs/pods"


def test_the_overhead_of_the_engine_on_the_cluster_is_measured(cluster: Cluster, tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    environment = os.environ | {"KLASSD_TEST_KUBECONFIG": cluster.kubeconfig, "KLASSD_TEST_IMAGE": cluster.image}
    command = [sys.executable, "-m", "benchmarks.cluster", "--quick", "--only", "latency", "--json", str(told)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "over the bare API" in done.stdout
    figures = json.loads(told.read_text())["figures"]
    assert figures["whole_ms"] > figures["create_ms"] > 0
    assert figures["requests create jobs"] == figures["requests log pods"] == figures["requests patch jobs"] == 1


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("POST", JOBS, "create jobs"),
        ("PATCH", f"{JOBS}/klassd-1", "patch jobs"),
        ("GET", f"{JOBS}?labelSelector=a&limit=500", "get jobs"),
        ("GET", f"{JOBS}?labelSelector=a&watch=true", "watch jobs"),
        ("GET", f"{PODS}/klassd-1-x/log?container=worker&follow=true", "log pods"),
        ("DELETE", f"{PODS}/klassd-1-x", "delete pods"),
    ],
)
def test_requests_are_counted_by_their_kind(method: str, url: str, expected: str) -> None:
    assert kind(method, url) == expected

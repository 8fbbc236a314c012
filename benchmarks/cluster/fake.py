"""The fake Kubernetes of the tests, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAKE = Path(__file__).resolve().parents[2] / "tests" / "kubernetes"
LONG = "86400"  # seconds that its containers work


@contextmanager
def fake_cluster() -> Iterator[str]:
    """Its kubeconfig. Containers are no processes there: they live, say so now and then, and do nothing."""
    with tempfile.TemporaryDirectory(prefix="klassd-fake-") as directory:
        kubeconfig = os.path.join(directory, "kubeconfig")
        process = subprocess.Popen(
            [sys.executable, "-m", "fake_api", kubeconfig, "--idle", LONG],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(FAKE), os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != b"ready\n":
                raise SystemExit(f"the fake cluster of {FAKE} did not start")
            yield kubeconfig
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()

"""The worker's container, started as a kubelet would from what was rendered: command, variables, files."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pod_help import rendered

HERE = Path(__file__).parent


def environment(found: Any, place: Path) -> dict[str, str]:
    """The variables of the container, with its ConfigMap and its termination log under ``place``."""
    [container] = found.job["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each["value"].replace("$$", "$") for each in container["env"]}
    for config_map in found.objects:
        for key, data in config_map["binaryData"].items():
            (place / key).write_bytes(base64.b64decode(data))
            env["KLASSD_ORDER_FILE"] = str(place / os.path.basename(env["KLASSD_ORDER_FILE"]))
    (place / "log").touch()
    return {**env, "KLASSD_TERMINATION_LOG": str(place / "log"), "PATH": os.environ["PATH"], "PYTHONPATH": str(HERE)}


@pytest.mark.parametrize("size", [5, 300_000])
def test_a_rendered_worker_runs_its_order(tmp_path: Path, size: int) -> None:
    found = rendered(job="pod_jobs:Sizes", source="pod_jobs:Sizes", inputs={"text": "$$(A) " + "x" * size}, expires=0.0)
    [container] = found.job["spec"]["template"]["spec"]["containers"]
    assert container["command"][0] == "python3"
    done = subprocess.run(
        [sys.executable, *container["command"][1:]],
        env=environment(found, tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{size + 6} characters".encode() in done.stdout
    assert b'"success"' in (tmp_path / "log").read_bytes()

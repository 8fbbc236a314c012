"""What an engine has of ours."""

from __future__ import annotations

import subprocess

from klassd.workflows.containers.engine import Engine


def left(engine: Engine, run_id: str) -> list[str]:
    """Containers of this run, running or not. Other tests have theirs at the same time."""
    listed = [engine.path, "ps", "--all", "--format", "{{.Names}}", "--filter", "label=dev.klassd.execution"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if run_id in name]

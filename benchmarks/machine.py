"""The machine's own limits: what a figure of the engine is to be compared with."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time

# What the process that forks the jobs has imported: an interpreter of the same size.
_TEMPLATE = "import benchmarks.jobs, klassd.workflows.worker.forker, benchmarks.forks; benchmarks.forks.measure({count})"


def bare_fork(count: int) -> dict[str, float]:
    """fork + exit + wait from a process of the template's size, two in flight, and nothing else."""
    code = _TEMPLATE.format(count=count)
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def durable_commit(directory: str, count: int) -> dict[str, float]:
    """One small row, one transaction, one fsync: what SQLite needs on this disk."""
    database = sqlite3.connect(os.path.join(directory, "commit.db"), isolation_level=None)
    try:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (x TEXT)")
        began = time.perf_counter()
        for _ in range(count):
            database.execute("INSERT INTO t VALUES ('x')")
        return {"ms": (time.perf_counter() - began) / count * 1000}
    finally:
        database.close()

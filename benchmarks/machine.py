"""The machine's own limits: what a figure of the engine is to be compared with."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import time

# What the process that forks the jobs has imported: an interpreter of the same size.
_TEMPLATE = """
import benchmarks.jobs, klassd.workflows.worker, klassd.workflows.executors.local
from benchmarks.machine import fork_here
fork_here({count})
"""


def bare_fork(count: int) -> dict[str, float]:
    """fork + exit + wait from a process of the template's size, two in flight, and nothing else."""
    code = _TEMPLATE.format(count=count)
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def fork_here(count: int, in_flight: int = 2) -> None:
    for warm in (True, False):
        began, cpu = time.perf_counter(), _own_and_children()
        for done in range((20 if warm else count) + in_flight):
            if done >= in_flight:
                os.wait()
            if done < (20 if warm else count) and os.fork() == 0:
                os._exit(0)
        seconds, used = time.perf_counter() - began, _own_and_children() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"per_second": count / seconds, "cpu_ms": used / count * 1000, "rss_mib": peak}))


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


def _own_and_children() -> float:
    each = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in each)

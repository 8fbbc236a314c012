"""Our processes, from /proc: who started what, and what is left of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from klassd.workflows.executors.local import identity
from klassd.workflows.executors.local.sweep import TOMBSTONE, sweep
from klassd.workflows.sockets import socket_dir


@dataclass(frozen=True)
class Member:
    pid: int
    start: int
    role: str  # "supervisor", "forker", "job"


def members(witness: Path) -> Iterator[Member]:
    """Every worker of the jobs that write to ``witness``, and all that those have started."""
    mark = f"KLASSD_JOB_WITNESS={witness}".encode()
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        found = identity.find(pid)
        if found is None:
            continue
        with contextlib.suppress(OSError):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if mark in variables and any(each.startswith(b"KLASSD_WORKER=") for each in variables):
                yield Member(pid, found.start, _role(pid))


def _role(pid: int) -> str:
    if _mode(pid) == b"forker":
        return "job" if _mode(_parent(pid)) == b"forker" else "forker"
    return "supervisor" if _mode(pid) else "job"


def _mode(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"klassd.workflows.worker" in words:
            return words[words.index(b"klassd.workflows.worker") + 1]
    return b""


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def left_in(state: Path, now: float) -> list[str]:
    """What stays in the spool directory when the marks of what was started have had their hour."""
    spools = state / "spool"
    if spools.exists():
        sweep(str(spools), socket_dir(str(state)), now + TOMBSTONE + 1)
    return sorted(path.name for path in spools.iterdir()) if spools.exists() else []

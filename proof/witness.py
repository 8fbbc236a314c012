"""What really happened, told by the jobs themselves: an append-only file that no code of the engine touches.

begin ID PID    user code of the attempt has begun
overlap ID      ... while another attempt of its task was still alive
said ID N       N lines of it are written
end ID          it has returned or raised; who was killed says nothing
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "KLASSD_JOB_WITNESS"  # the prefix lets it pass to jobs


def note(*words: object) -> None:
    """On the disk when it returns."""
    fd = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{' '.join(map(str, words))}\n".encode())
    os.fsync(fd)
    os.close(fd)


@contextmanager
def attested(ctx: Any) -> Iterator[Callable[[int], None]]:
    """Around the work of one attempt. What it gives is told how many lines have been written."""
    lock = os.open(f"{os.environ[VARIABLE]}.locks", os.O_RDWR | os.O_CREAT, 0o600)
    note("begin", ctx.execution_id, os.getpid())
    if not _only_one(lock, ctx.idempotency_key):
        note("overlap", ctx.execution_id)
    try:
        yield lambda lines: note("said", ctx.execution_id, lines)
    finally:
        note("end", ctx.execution_id)
        os.close(lock)


def _only_one(lock: int, task: str) -> bool:
    """The kernel holds it as long as this process lives: a byte per task, all in one file."""
    place = zlib.crc32(task.encode()) << 24 | zlib.adler32(task.encode()) & 0xFFFFFF
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except OSError:
        return False
    return True


@dataclass
class Testimony:
    starts: Counter[str] = field(default_factory=Counter)
    pids: dict[str, int] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    overlaps: list[str] = field(default_factory=list)


def read(path: Path) -> Testimony:
    found = Testimony()
    for line in path.read_text().splitlines() if path.exists() else ():
        what, execution_id, *more = line.split()
        if what == "begin":
            found.starts[execution_id] += 1
            found.pids[execution_id] = int(more[0])
        elif what == "overlap":
            found.overlaps.append(execution_id)
        elif what == "said":
            found.said[execution_id] = int(more[0])
        else:
            found.ended.add(execution_id)
    return found

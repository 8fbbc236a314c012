"""What the kernel offers to keep a job's processes together, and to find those that went astray."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)  # Linux only


def become_subreaper() -> None:
    """Orphans below this process become its children instead of init's."""
    if _prctl:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Get SIGKILL when the parent ends, however it ends; end at once if it has ended already."""
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def ended() -> Iterator[tuple[int, int]]:
    """(pid, status) of every child that has ended, strays among them: none stays a zombie."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def kill_group(pgid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def kill_strays(parent: int, known: set[int]) -> int:
    """Kill every child of ``parent`` that is not ``known``: what a job left behind comes to its supervisor. How many."""
    killed: set[int] = set()
    for _ in range(100):  # a stray's own children come up when it dies
        strays = [pid for pid in _children(parent) if pid not in known and pid not in killed]
        if not strays:
            break
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        killed.update(strays)
    return len(killed)


def _children(parent: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                state, ppid = file.read().rpartition(b")")[2].split()[:2]
                if int(ppid) == parent and state != b"Z":
                    yield int(name)


def threads() -> int:
    """Threads of this process: with more than one, a fork copies locks that nobody will ever release."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        import threading

        return threading.active_count()

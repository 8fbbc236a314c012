"""What the kernel offers to keep a job's processes together, and to find those that went astray."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL = int(signal.SIGKILL)
_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux only


def become_subreaper(so: bool = True) -> None:
    """Orphans below this process become its children instead of init's; no longer, if not ``so``."""
    if _prctl:
        _prctl(_PR_SET_CHILD_SUBREAPER, int(so), 0, 0, 0)


def die_with(parent: int) -> None:
    """Get SIGKILL when the parent ends, however it ends; end at once if it has ended already."""
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, _KILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def handle_signal(number: int, handler: Callable[[int, Any], object] | int) -> None:
    """``signal.signal`` without its enumerations, which cost a forked child 40 page faults, 0.1 ms."""
    _signal.signal(int(number), handler if callable(handler) else int(handler))


def unblock_signal(number: int) -> None:
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (int(number),))


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


def kill_strays(parent: int, leader: int, known: set[int]) -> int:
    """Kill all that a job left behind: what descends from ``parent`` by way of none that is ``known``, and what is of the
    group of its dead ``leader``. How many there were."""
    if not os.path.exists("/proc/self/stat"):
        kill_group(leader)
        return 0
    killed: set[int] = set()
    for _ in range(100):  # they may start others until they are dead
        strays = set(_strays(parent, known - {leader}))
        if not strays:
            break
        for pid in strays - killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= strays
        time.sleep(0.001)
    return len(killed)


def _strays(parent: int, known: set[int]) -> Iterator[int]:
    above = dict(_processes())
    for pid, ancestor in above.items():
        while ancestor not in known and ancestor != parent and ancestor in above:
            ancestor = above[ancestor]
        if ancestor == parent and pid not in known:
            yield pid


def _processes() -> Iterator[tuple[int, int]]:
    """(pid, parent) of every process that is not dead."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                state, ppid = file.read().rpartition(b")")[2].split()[:2]
                if state != b"Z":
                    yield int(name), int(ppid)


def threads() -> int:
    """Threads of this process: with more than one, a fork copies locks that nobody will ever release."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        import threading

        return threading.active_count()

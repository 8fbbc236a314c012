"""CPU time and memory of processes, from /proc. Standard library only: the peers' scripts use it too."""

from __future__ import annotations

import ctypes
import os
import resource

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Processes below this one whose parent ends stay below this one, so that ``cpu_below`` goes on counting them."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu_below() -> float:
    """CPU seconds that every process below this one has used so far, those that have ended included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    live = sum(sum(map(int, _stat(pid)[11:15])) for pid in descendants())
    return ended.ru_utime + ended.ru_stime + live / _TICK


def own_cpu() -> float:
    """CPU seconds of this process alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def descendants() -> list[int]:
    """Pids of the processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (stat := _stat(int(name))):
            children.setdefault(int(stat[1]), []).append(int(name))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def cpu_of(pid: int) -> tuple[float, float]:
    """CPU seconds of a process itself, and of its children that it has waited for."""
    user, system, children_user, children_system = map(int, _stat(pid)[11:15])
    return (user + system) / _TICK, (children_user + children_system) / _TICK


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * _PAGE / 2**20


def command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace")


def bytes_written(pid: int) -> int:
    """Bytes a process has handed to write() so far, whether they have reached the disk or not."""
    with open(f"/proc/{pid}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("wchar"))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where it has just ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []

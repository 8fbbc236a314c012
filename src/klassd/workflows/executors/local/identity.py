"""Which process is which: a pid says little, a pid with its start time and the machine's boot says all. Linux's /proc."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

COOKIE = "KLASSD_WORKER"  # in the environment of every worker and so of all that it starts: strays are known by it


class Process(NamedTuple):
    pid: int
    group: int
    session: int
    start: int  # clock ticks since the boot


@functools.cache
def boot_id() -> str:
    """Another one after every start of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


@functools.cache
def place() -> str:
    """The boot and, as two containers on one machine do not see each other's processes, the name space of pids."""
    return f"local:{boot_id()}:{os.stat('/proc/self/ns/pid').st_ino}"


def find(pid: int) -> Process | None:
    """The live process of that number. A zombie is dead: it only waits for its parent to hear of it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before may hold anything, even ") "
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in (b"Z", b"X", b"x"):
        return None
    return Process(pid, group=int(fields[2]), session=int(fields[3]), start=int(fields[19]))


def is_alive(pid: int, start: int) -> bool:
    found = find(pid)
    return found is not None and found.start == start


def kill_left_behind(cookie: str, job: tuple[int, int] | None, since: int) -> int:
    """SIGKILL to everything that a dead supervisor left; how many there were. Repeat it until there is nothing.

    ``cookie``: what its environment had; ``job``: pid and start time of its job, whose group and session are meant;
    ``since``: the supervisor's own start time, before which nothing of it can have started.
    """
    victims = list(_left_behind(f"{COOKIE}={cookie}".encode(), _family(job), since))
    for pid in victims:
        _kill(pid, signal.SIGKILL)
    return len(victims)


def _left_behind(mark: bytes, family: int | None, since: int) -> Iterator[int]:
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        process = find(pid)
        if process is None or process.start < since or pid == os.getpid():
            continue
        if family in (process.group, process.session) or mark in _environment(pid):
            yield pid


def _family(job: tuple[int, int] | None) -> int | None:
    """The number of its group and session, unless it is somebody else's by now. A number stays taken while a group or a
    session has it, so where its first process is gone, the others are still ours."""
    if job is None:
        return None
    found = find(job[0])
    return job[0] if found is None or found.start == job[1] else None


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:  # gone, or another user's
        return []


def send(pid: int, start: int, number: signal.Signals, group: bool = False) -> None:
    """A signal to this very process (or to the group it leads); nothing where it is gone."""
    if is_alive(pid, start):
        _kill(-pid if group else pid, number)


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)

"""Removes what nobody asks for any more from the spool and socket directories."""

from __future__ import annotations

import contextlib
import os

from klassd.workflows.crashes import mark
from klassd.workflows.executors.local.templates import PREFIX

TOMBSTONE = 3600.0  # seconds a claim outlives its outcome: every order of it has expired long before
FORGOTTEN = 30 * 24 * 3600.0  # seconds after which nobody will adopt what an execution left
SOCKET = 24 * 3600.0  # seconds after which a template's socket without a template is removed


def sweep(spools: str, sockets: str, now: float) -> int:
    """How many files were removed. ``now``: wall time, as file times are."""
    return _sweep_spools(spools, now) + _sweep_sockets(sockets, now)


def _sweep_spools(directory: str, now: float) -> int:
    removed = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another scheduler sweeps too
                status = entry.stat(follow_symlinks=False)
                age = now - status.st_mtime
                wanted = _is_wanted(directory, entry.name) and status.st_size > 0
                if age > (FORGOTTEN if wanted else TOMBSTONE):
                    os.unlink(entry.path)
                    removed += 1
                    mark("after:sweep")
    return removed


def _is_wanted(directory: str, name: str) -> bool:
    """A console, or an outcome that belongs to one; not a file that a process left half made."""
    base, _, kind = name.rpartition(".")
    if kind == "log":
        return True
    with contextlib.suppress(OSError):
        return kind == "end" and os.path.getsize(f"{directory}/{base}.log") > 0
    return False


def _sweep_sockets(directory: str, now: float) -> int:
    removed = 0
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with contextlib.suppress(FileNotFoundError):
            if name.startswith(PREFIX) and now - os.stat(path).st_mtime > SOCKET and not _answers(path):
                os.unlink(path)
                removed += 1
    return removed


def _answers(path: str) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:  # it is too busy, or stopped, to take another caller: waiting for it could last for ever
            return True
        except OSError:
            return False
    return True

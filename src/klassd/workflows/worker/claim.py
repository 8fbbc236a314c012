"""The claim of a start on one machine: whoever makes the spool file may start the execution, nobody else ever.

The file appears whole, with the supervisor's identity in it, by ``os.link``: there is no moment at which it is claimed and
nobody knows by whom. It is never removed with the outcome, only emptied, so a launch that comes late still finds it.
"""

from __future__ import annotations

import os
import time

from klassd.workflows.crashes import mark
from klassd.workflows.frames import PROTOCOL, dumps, encode
from klassd.workflows.order import End, Order

# As ports.Clock.monotonic: what an order's expiry is told in.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def expired(order: Order) -> bool:
    return order.expires is not None and time.clock_gettime(_STEADY) >= order.expires


class Identity:
    """Who a process is, across restarts of machine and process: boot, pid, and the tick it started at."""

    def __init__(self, version: str, socket_path: str = "") -> None:
        self.version, self.socket_path = version, socket_path
        with open("/proc/sys/kernel/random/boot_id") as file:
            self.boot = file.read().strip()
        self.pid = os.getpid()
        self.start = start_time(self.pid)
        self.born = None if socket_path else _born(self.start)

    def hello(self, execution_id: str) -> dict[str, object]:
        return {
            "v": self.version,
            "p": PROTOCOL,
            "x": execution_id,
            "boot": self.boot,
            "pid": self.pid,
            "start": self.start,
            "sock": self.socket_path,
            **({} if self.born is None else {"born": self.born}),
        }


def start_time(pid: int) -> int:
    """Clock ticks since boot at which the process started: field 22 of its stat. 0 when it is gone."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)  # a file object would ask the kernel four things more
    except OSError:
        return 0
    try:
        return int(os.read(fd, 4096).rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return 0
    finally:
        os.close(fd)


def _born(start: int) -> float:
    """When a process that began ``start`` ticks after the boot did so: to 10 ms, where Kubernetes tells whole seconds."""
    return round(time.time() - time.clock_gettime(_STEADY) + start / os.sysconf("SC_CLK_TCK"), 2)


def claim(spool_dir: str, order: Order, identity: Identity) -> int | None:
    """The spool's descriptor for appending, or None: this execution was started before."""
    spool = os.path.join(spool_dir, f"{order.execution_id}.log")
    mine = f"{spool}.{identity.pid}"
    fd = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        hello = dumps(identity.hello(order.execution_id))
        os.write(fd, encode(order.nonce, 0, "hello", int(time.time() * 1e6), hello))
        mark("before:start.claim")
        os.link(mine, spool)
        mark("after:start.claim")
    except FileExistsError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    finally:
        os.unlink(mine)
    return fd


def withdraw(spool_dir: str, execution_id: str) -> None:
    """Nothing was started: let another launch have it."""
    os.unlink(os.path.join(spool_dir, f"{execution_id}.log"))


def leave_end(path: str, end: bytes) -> None:
    """The outcome record, visible whole. Not synced: a power cut kills what it speaks of, and the boot id tells."""
    fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, end)
    finally:
        os.close(fd)
    os.rename(f"{path}.tmp", path)


def fitting(end: End, most: int = 3072) -> bytes:
    """The record as JSON within its size: what is long is shortened, its manifest last."""
    import msgspec

    for room in (1200, 400, 100, 0):
        error = end.error and msgspec.structs.replace(
            end.error, message=end.error.message[: max(room, 60)], traceback=end.error.traceback[-room:] if room else ""
        )
        short = msgspec.structs.replace(end, error=error, warnings=tuple(w[: max(room, 60)] for w in end.warnings[:10]))
        encoded = dumps(msgspec.to_builtins(short))
        if len(encoded) <= most:
            return encoded
    names = tuple(end.outputs)
    refused = End(
        result="failure",
        stored=False,
        cause="output",
        exit_code=end.exit_code,
        lines=end.lines,
        started_at=end.started_at,
        returned_at=end.returned_at,
        finished_at=end.finished_at,
        warnings=(f"{len(names)} outputs are too many for one record",),
    )
    return dumps(msgspec.to_builtins(refused))

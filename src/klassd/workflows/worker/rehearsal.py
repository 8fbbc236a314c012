"""An execution that leads nowhere, before the first fork.

What an interpreter works out when code runs for the first time (where an attribute was found, which instruction fits, where a
symbol of a library is) it writes down in the memory of that code. Written after a fork, each such page is copied, by every
child anew. So the forker runs a job of its own first, through all that a child goes through.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

import msgspec

from klassd.workflows.context import JobContext
from klassd.workflows.job import Job
from klassd.workflows.order import Order
from klassd.workflows.worker import child, processes
from klassd.workflows.worker.channel import Channel

TIMES = 10  # code that has run eight times is specialised


class Rehearsal(Job):
    number: int

    def run(self, ctx: JobContext) -> int:
        ctx.log("")
        return self.number


def rehearse(decode: msgspec.json.Decoder[Order]) -> None:
    """To be called before anything of the user's is imported: it ends with what the interpreter does at its end."""
    stdout, stderr, finders = sys.stdout, sys.stderr, sys.meta_path[:]
    order = msgspec.json.encode(
        Order(execution_id="", run_id="", node="", job="", source=f"{__name__}:Rehearsal", inputs={"number": 1})
    )
    for _ in range(TIMES):
        _once(decode.decode(order))
    processes.handle_signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout, sys.stderr, sys.meta_path[:] = stdout, stderr, finders


def _once(order: Order) -> None:
    read, out = os.pipe()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child.play(order, Channel(theirs.fileno(), b"", out))
    os.close(read)
    os.close(out)

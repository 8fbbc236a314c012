"""One execution in a process of its own: a pod, or a local one without a template."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time

import msgspec

from klassd.workflows import __version__
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End, Error, Order
from klassd.workflows.worker.claim import Identity, claim, expired, fitting, leave_end
from klassd.workflows.worker.execution import Execution
from klassd.workflows.worker.supervisor import Supervisor

SUCCEEDED, FAILED, UNUSABLE = 0, 1, 2
ORDER = "KLASSD_ORDER"


def execute(spool: str | None) -> int:
    """Run the order given on standard input (or in ``KLASSD_ORDER``). The exit code tells what it came to."""
    try:
        order = _order()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        sys.stderr.write(f"the order is not one: {error}; expected its JSON on standard input or in {ORDER}\n")
        return UNUSABLE
    if expired(order):
        sys.stderr.write(f"{order.execution_id}: the order has expired, nothing was started\n")
        return UNUSABLE
    identity = Identity(__version__)
    sink = _sink(spool, order, identity)
    if sink is None:
        sys.stderr.write(f"{order.execution_id}: it was started before, nothing was started\n")
        return UNUSABLE
    path = end_path(spool, order) if spool else ""
    if problem := refuse_version(order):
        record, code = leave_refusal(order, sink, problem), UNUSABLE
        if path:
            leave_end(path, record)
    else:
        record, code = _supervise(order, sink, path, identity)
    if not spool:
        _leave_message(record)
    return code


def _order() -> Order:
    text = os.environ.pop(ORDER, None) or sys.stdin.read()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return msgspec.json.decode(text, type=Order)


def _sink(spool: str | None, order: Order, identity: Identity) -> int | None:
    if spool is not None:
        return claim(spool, order, identity)
    sink = os.dup(1)
    os.write(sink, encode(order.nonce, 0, "hello", int(time.time() * 1e6), dumps(identity.hello(order.execution_id))))
    if stat.S_ISFIFO(os.fstat(sink).st_mode):  # a deadline must hold while nobody reads what was said
        os.set_blocking(sink, False)
    return sink


def _supervise(order: Order, sink: int, path: str, identity: Identity) -> tuple[bytes, int]:
    ended: list[Execution] = []
    asked: list[int] = []
    supervisor = Supervisor(identity, ended.append, lambda execution: None)
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    execution = supervisor.start(order, sink, path)
    while not ended:
        supervisor.turn(60.0)
        if asked:
            asked.clear()
            supervisor.stop(execution, "stop", order.grace)
    succeeded = execution.result and not execution.effective and not execution.unwritten
    return execution.record, SUCCEEDED if succeeded else FAILED


def _leave_message(record: bytes) -> None:
    """For whoever looks at the dead container. In place: the file is a mount, nothing can be renamed to it."""
    path = os.environ.get("KLASSD_TERMINATION_LOG")
    if path:
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
            os.write(fd, record)
            os.close(fd)


def end_path(spool: str, order: Order) -> str:
    """Where the outcome record goes besides the last frame."""
    return os.path.join(spool, f"{order.execution_id}.end")


def refuse_version(order: Order) -> str:
    """Scheduler and worker must speak the same protocol; a worker of another release says so by name."""
    theirs, ours = order.version.split(".")[:2], __version__.split(".")[:2]
    if not order.version or theirs == ours:
        return ""
    return f"the scheduler is version {order.version}, this worker {__version__}: install the same in both"


def leave_refusal(order: Order, sink: int, problem: str) -> bytes:
    """The whole of an execution that cannot be started here: its end. Returns the record."""
    now = time.time()
    error = Error(type="VersionMismatch", message=problem, retry=False)
    end = fitting(End(result="failure", cause="input", error=error, started_at=now, finished_at=now))
    os.write(sink, encode(order.nonce, 1, "end", int(now * 1e6), end))
    os.close(sink)
    return end

"""One execution in a process of its own: a pod, or a local one without a template."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time
import zlib

import msgspec

from klassd.workflows import __version__
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End, Error, Order
from klassd.workflows.worker.claim import Identity, claim, expired, fitting, leave_end, withdraw
from klassd.workflows.worker.execution import Execution
from klassd.workflows.worker.supervisor import Supervisor

SUCCEEDED, FAILED, UNUSABLE, UNRUN = 0, 1, 2, 3
ORDER, ORDER_FILE, CLAIM = "KLASSD_ORDER", "KLASSD_ORDER_FILE", "KLASSD_CLAIM_URL"


class Unusable(Exception):
    """Nothing was started; the sentence says why."""


def execute(spool: str | None) -> int:
    """Run the order given in ``KLASSD_ORDER``, in the file that ``KLASSD_ORDER_FILE`` names, or on standard input. The exit
    code tells what it came to."""
    try:
        order = given_order()
        if os.environ.get(CLAIM) and (record := _unrun(order)):
            leave_message(record)
            return UNRUN
        identity = Identity(__version__)
        sink = _sink(spool, order, identity)
        if problem := refuse_version(order):
            record, code = _refuse(order, sink, spool, problem), UNUSABLE
        else:
            record, code = _supervise(order, sink, spool, identity)
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    if not spool:
        leave_message(record)
    return code


def given_order() -> Order:
    text = os.environ.pop(ORDER, None) or _from_file(os.environ.pop(ORDER_FILE, "")) or sys.stdin.read()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        return msgspec.json.decode(text, type=Order)
    except msgspec.MsgspecError as error:
        raise Unusable(f"the order is not one: {error}; expected its JSON on standard input or in {ORDER}") from None


def _from_file(path: str) -> bytes:
    """An order too large for a variable, compressed."""
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            return zlib.decompress(file.read())
    except (OSError, zlib.error) as error:
        raise Unusable(f"the order cannot be read from {path}: {error}") from None


def _unrun(order: Order) -> bytes:
    """Empty once its start is claimed; else the record of an execution that this process must not run."""
    from klassd.workflows.worker.start_claim import Unrun, claim_start

    try:
        claim_start(order)
    except Unrun as unrun:
        sys.stderr.write(f"{unrun}\n")
        return unrun.record
    return b""


def _sink(spool: str | None, order: Order, identity: Identity) -> int:
    if expired(order):
        raise Unusable(f"{order.execution_id}: the order has expired, nothing was started")
    if not spool:
        return _standard_output(order, identity)
    try:
        sink = claim(spool, order, identity)
    except OSError as error:
        raise Unusable(f"{order.execution_id}: its console cannot be made in {spool}: {error.strerror}") from None
    if sink is None:
        raise Unusable(f"{order.execution_id}: it was started before, nothing was started")
    if expired(order):  # it may have taken long to come here
        withdraw(spool, order.execution_id)
        raise Unusable(f"{order.execution_id}: the order has expired, nothing was started")
    return sink


def _standard_output(order: Order, identity: Identity) -> int:
    sink = os.dup(1)
    os.write(sink, encode(order.nonce, 0, "hello", int(time.time() * 1e6), dumps(identity.hello(order.execution_id))))
    if stat.S_ISFIFO(os.fstat(sink).st_mode):  # a deadline must hold while nobody reads what was said
        os.set_blocking(sink, False)
    return sink


def _supervise(order: Order, sink: int, spool: str | None, identity: Identity) -> tuple[bytes, int]:
    ended: list[Execution] = []
    asked: list[int] = []
    supervisor = Supervisor(identity, ended.append, lambda execution: None)
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        execution = supervisor.start(order, sink, end_path(spool, order) if spool else "")
    except OSError as error:
        if spool:
            withdraw(spool, order.execution_id)
        raise Unusable(f"{order.execution_id}: no process could be made: {error.strerror}") from None
    while not ended:
        supervisor.turn(60.0)
        if asked:
            asked.clear()
            supervisor.stop(execution, "stop", order.grace)
    succeeded = execution.succeeded and not execution.effective and not execution.unwritten
    return execution.record, SUCCEEDED if succeeded else FAILED


def _refuse(order: Order, sink: int, spool: str | None, problem: str) -> bytes:
    return leave_refusal(order, sink, end_path(spool, order) if spool else "", problem)


def leave_message(record: bytes) -> None:
    """For whoever looks at the dead container. In place: the file is a mount, nothing can be renamed to it."""
    path = os.environ.get("KLASSD_TERMINATION_LOG")
    if path:
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
            os.write(fd, record)
            os.close(fd)


def end_path(spool: str, order: Order) -> str:
    """Where the outcome record goes when it does not get into the spool as its last frame. A file for each would cost more
    than the job: ext4 steps over every inode deleted within minutes to find a free one."""
    return os.path.join(spool, f"{order.execution_id}.end")


def refuse_version(order: Order) -> str:
    """Scheduler and worker must speak the same protocol; a worker of another release says so by name."""
    theirs, ours = order.version.split(".")[:2], __version__.split(".")[:2]
    if not order.version or theirs == ours:
        return ""
    return f"the scheduler is version {order.version}, this worker {__version__}: install the same in both"


def leave_refusal(order: Order, sink: int, path: str, problem: str) -> bytes:
    """The whole of an execution that cannot be started here: its end. Returns the record."""
    now = time.time()
    error = Error(type="VersionMismatch", message=problem, retry=False)
    end = fitting(End(result="failure", cause="input", error=error, started_at=now, finished_at=now))
    frame = encode(order.nonce, 1, "end", int(now * 1e6), end)
    try:
        written = os.write(sink, frame) == len(frame)
    except OSError:
        written = False
    os.close(sink)
    if path and not written:
        leave_end(path, end)
    return end

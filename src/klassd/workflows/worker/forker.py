"""The process that has imported a job's module and forks one child per execution; it does nothing else.

It is apart from the supervisor because a fork makes every page of its parent copy-on-write again: a supervisor that forks
itself touched 310 pages between two forks, at 1.3 ms of CPU. So the request is not even parsed here: descriptors come with
it, and the child reads the rest.

    supervisor -> forker   length (4 bytes), marker (18), order as JSON; with it fd 1, fd 2 and the control socket of the child
    forker -> supervisor   "ready THREADS", "file PATH" ..., ".", then "pid N" or "err ERRNO" per request, and "end PID STATUS"
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.errors import KlassdError
from klassd.workflows.job import JobInfo, is_job, job_info, load_job
from klassd.workflows.order import Order
from klassd.workflows.worker import child, processes, stdio
from klassd.workflows.worker.channel import Channel

HEADER = 4 + 18
_ORDER = msgspec.json.Decoder(Order)


def serve(module: str, control_fd: int) -> int:
    """Import ``module`` and fork on request until the supervisor is gone."""
    control = socket.socket(fileno=control_fd)
    parent = os.getppid()
    processes.die_with(parent)
    processes.become_subreaper()
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    files = _prepare(module)
    control.sendall("".join([f"ready {processes.threads()}\n", *(f"file {path}\n" for path in files), ".\n"]).encode())
    signal.signal(signal.SIGCHLD, _ignore)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # the supervisor stops jobs in order; a new one has to hear it
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    _loop(control, read, write)
    return 0


def _ignore(number: int, frame: object) -> None:
    """Only there so that the wake-up descriptor is written to."""


def _loop(control: socket.socket, read: int, write: int) -> None:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(read, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == read:
                _tell_ended(control, read)
            elif not _fork_one(control, read, write):
                return


def _tell_ended(control: socket.socket, read: int) -> None:
    os.read(read, 4096)
    for pid, status in processes.ended():
        control.send(b"end %d %d\n" % (pid, status))


def _fork_one(control: socket.socket, read: int, write: int) -> bool:
    """One request. False: the supervisor is gone."""
    head, fds = _receive(control)
    if not head:
        return False
    rest = _exactly(control, int.from_bytes(head[:4], "big"))
    if len(fds) != 3:
        return _refuse(control, fds, errno.EMFILE)
    parent = os.getpid()
    gc.disable()  # a collection in the child before it is set up would touch every page
    mark("before:fork")
    try:
        pid = os.fork()
    except OSError as error:
        gc.enable()
        return _refuse(control, fds, error.errno or errno.EAGAIN)
    else:
        if pid == 0:
            _become_child(parent, head[4:], rest, fds, (control.fileno(), read, write))
        mark("after:fork")
        control.send(b"pid %d\n" % pid)
    gc.enable()
    for fd in fds:
        os.close(fd)
    return True


def _refuse(control: socket.socket, fds: list[int], number: int) -> bool:
    for fd in fds:
        os.close(fd)
    control.send(b"err %d\n" % number)
    return True


def _become_child(parent: int, marker: bytes, order: bytes, fds: list[int], ours: tuple[int, ...]) -> NoReturn:
    try:
        gc.enable()
        out, err, control = fds
        become_job(parent, out, err, [*ours, err])
        child.run(_ORDER.decode(order), Channel(control, marker, out))
    finally:
        os._exit(70)


def become_job(parent: int, out: int, err: int, close: list[int]) -> None:
    """What turns a forked process into a job's: its own session, its console, and no life beyond its parent's."""
    try:
        processes.die_with(parent)
        os.setsid()
        signal.set_wakeup_fd(-1)
        processes.handle_signal(signal.SIGCHLD, signal.SIG_DFL)
        processes.become_subreaper()
        os.dup2(out, 1)
        os.dup2(err, 2)
        for fd in close:
            os.close(fd)
    except BaseException as error:
        os.write(2, f"the job's process could not be set up: {error!r}\n".encode())
        os._exit(70)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    head, ancillary, _, _ = control.recvmsg(HEADER, socket.CMSG_SPACE(3 * 4), socket.MSG_CMSG_CLOEXEC)
    fds = [fd for _, _, data in ancillary for fd in memoryview(data).cast("i")]
    while head and len(head) < HEADER:
        head += _exactly(control, HEADER - len(head))
    return head, fds


def _exactly(control: socket.socket, size: int) -> bytes:
    data = control.recv(size, socket.MSG_WAITALL)
    while data and len(data) < size:
        data += control.recv(size - len(data), socket.MSG_WAITALL)
    return data


# -- the module -------------------------------------------------------------------------------------------------


def _prepare(module: str) -> list[str]:
    """Import it, and what its jobs will surely need. What fails here is told by the execution's own import.

    Returns the files that, when they change, make this process out of date.
    """
    before = set(sys.modules)
    with contextlib.suppress(BaseException):
        _warm_up(module)
    return [path for name in set(sys.modules) - before if (path := _user_file(name))]


def _warm_up(module: str) -> None:
    """What is worked out here once, no child works out again: cold, each of them paid 400 page faults, 2 ms, for it."""
    from klassd.workflows.worker.rehearsal import rehearse  # not in a pod, which forks once

    stdio.prepare()
    rehearse(_ORDER)
    __import__(module)
    for value in list(vars(sys.modules[module]).values()):
        if is_job(value):
            with contextlib.suppress(KlassdError, TypeError):
                _warm_up_job(job_info(value))


def _warm_up_job(info: JobInfo) -> None:
    if child.needs_loop(info):
        import asyncio  # noqa: F401
    child.known[info.source] = load_job(info.source)
    info.fields.decode({})


def _user_file(name: str) -> str | None:
    """The source of a module that the user may edit: not the interpreter's, not an installed package's, not ours."""
    path: str | None = getattr(sys.modules.get(name), "__file__", None)
    if not path or name.startswith("klassd.workflows"):
        return None
    packages = "site-packages" in path or "dist-packages" in path
    return None if packages or path.startswith(os.path.join(os.path.dirname(os.__file__), "")) else path

"""A process that has imported a job's module once and forks an execution of it in a millisecond; their supervisor too."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import sys
import time
from typing import Any

import msgspec

from klassd.workflows import __version__
from klassd.workflows.frames import dumps
from klassd.workflows.job import load_job
from klassd.workflows.order import Order
from klassd.workflows.worker import processes
from klassd.workflows.worker.child import needs_loop
from klassd.workflows.worker.claim import Identity, claim, expired, withdraw
from klassd.workflows.worker.execute import end_path, leave_refusal, refuse_version
from klassd.workflows.worker.supervisor import Execution, Supervisor

IDLE = 60.0  # seconds without a connection and without a job before it ends
PENDING = 1024 * 1024  # bytes a connection may be behind


class Template:
    def __init__(self, module: str, spool: str, path: str) -> None:
        self._spool, self._path = spool, path
        self._identity = Identity(__version__, path)
        self._supervisor = Supervisor(self._identity, self._ended, self._grew)
        self._connections: dict[int, _Connection] = {}
        self._retired = False
        self._lonely_since = time.monotonic()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._import(module)

    def serve(self) -> None:
        self._listen()
        while not self._done():
            self._supervisor.turn(IDLE / 4)
            for connection in list(self._connections.values()):
                connection.flush()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _done(self) -> bool:
        if self._connections or self._supervisor.executions:
            self._lonely_since = time.monotonic()
        over = self._retired or time.monotonic() - self._lonely_since > IDLE
        return over and not self._supervisor.executions

    # -- the module ---------------------------------------------------------------------------------------------

    def _import(self, module: str) -> None:
        """Import it, and what its jobs will surely need. What fails here is told by the execution's own import."""
        before = set(sys.modules)
        with contextlib.suppress(BaseException):
            self._prepare(module)
        self._files = {path: stamp(path) for name in set(sys.modules) - before if (path := _user_file(name))}
        self._threads = processes.threads()
        gc.collect()
        gc.freeze()

    def _prepare(self, module: str) -> None:
        from klassd.workflows.job import is_job, job_info

        __import__(module)
        for name, value in list(vars(sys.modules[module]).items()):
            if is_job(value) and needs_loop(job_info(value)):
                import asyncio  # noqa: F401
            elif is_job(value):
                load_job(f"{module}:{name}")

    def _changed(self) -> bool:
        return any(stamp(path) != known for path, known in self._files.items())

    # -- connections --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        os.umask(0o077)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._listener.bind(self._path)
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._supervisor.watch(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        connection = _Connection(sock)
        self._connections[sock.fileno()] = connection
        self._supervisor.watch(sock.fileno(), lambda: self._hear(connection))
        reason = "" if self._threads == 1 else f"its module has started {self._threads - 1} thread(s) at import"
        connection.tell(
            op="hello",
            pid=self._identity.pid,
            start=self._identity.start,
            boot=self._identity.boot,
            fork=self._threads == 1,
            reason=reason,
            live=[execution.id for execution in self._supervisor.executions.values()],
        )

    def _hear(self, connection: _Connection) -> None:
        for line in connection.lines():
            self._obey(connection, msgspec.json.decode(line))
        if connection.closed:
            self._supervisor.unwatch(connection.fd)
            self._connections.pop(connection.fd, None)
            connection.sock.close()

    def _obey(self, connection: _Connection, said: dict[str, Any]) -> None:
        if said["op"] == "launch":
            self._launch(connection, msgspec.convert(said["order"], Order))
        elif said["op"] == "stop":
            for execution in self._supervisor.executions.values():
                if execution.id == said["id"]:
                    self._supervisor.stop(execution, "stop", said["grace"])
        elif said["op"] == "retire":
            self._retired = True

    def _tell(self, **said: object) -> None:
        for connection in self._connections.values():
            connection.tell(**said)

    # -- launching ----------------------------------------------------------------------------------------------

    def _launch(self, connection: _Connection, order: Order) -> None:
        why, message = self._try(order)
        if why:
            connection.tell(op="refused", id=order.execution_id, why=why, message=message)
        else:
            connection.tell(op="launched", id=order.execution_id)

    def _try(self, order: Order) -> tuple[str, str]:
        """Start it, or say why not."""
        if self._threads != 1:
            return "unsafe", "the module runs threads"
        if self._retired or self._changed():
            return "stale", "the code has changed since it was imported"
        if expired(order):
            return "expired", "the launcher's lease has ended"
        try:
            sink = claim(self._spool, order, self._identity)
        except OSError as error:
            return "resources", f"its console cannot be made: {error.strerror}"
        if sink is None:
            return "exists", ""
        return self._start(order, sink)

    def _start(self, order: Order, sink: int) -> tuple[str, str]:
        path = end_path(order, self._spool)
        if problem := refuse_version(order):
            leave_refusal(order, sink, path, problem)
            return "", ""
        if expired(order):
            os.close(sink)
            withdraw(self._spool, order.execution_id)
            return "expired", "the launcher's lease has ended"
        try:
            execution = self._supervisor.start(order, sink, path)
        except OSError as error:
            os.close(sink)
            withdraw(self._spool, order.execution_id)
            return "resources", f"no process could be made: {errno.errorcode.get(error.errno or 0, '')} {error.strerror}"
        execution.flush()
        return "", ""

    def _grew(self, execution: Execution) -> None:
        self._tell(op="grew", id=execution.id)

    def _ended(self, execution: Execution) -> None:
        self._tell(op="ended", id=execution.id)


class _Connection:
    """Newline-delimited JSON over a socket that is never waited for."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock, self.fd = sock, sock.fileno()
        self.closed = False
        self._rest = b""
        self._pending = b""

    def lines(self) -> list[bytes]:
        try:
            data = self.sock.recv(256 * 1024)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.closed = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def tell(self, **said: object) -> None:
        self._pending += dumps(said) + b"\n"

    def flush(self) -> None:
        try:
            while self._pending and not self.closed:
                self._pending = self._pending[self.sock.send(self._pending) :]
        except BlockingIOError:
            if len(self._pending) > PENDING:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._pending = b""


def stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _user_file(name: str) -> str | None:
    """The source of a module that the user may edit: not the interpreter's, not an installed package's, not ours."""
    path: str | None = getattr(sys.modules.get(name), "__file__", None)
    if not path or name.startswith("klassd.workflows"):
        return None
    installed = {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)}
    return None if any(path.startswith(os.path.join(prefix, "")) for prefix in installed) else path


def serve(module: str, spool: str, path: str) -> int:
    Template(module, spool, path).serve()
    return 0

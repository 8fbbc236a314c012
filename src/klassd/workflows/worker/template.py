"""Serves launches of one module's jobs: their supervisor, with a forker at its side that has imported the module once."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

import msgspec

from klassd.workflows import __version__
from klassd.workflows.frames import dumps
from klassd.workflows.order import Order
from klassd.workflows.worker.claim import Identity, claim, expired, withdraw
from klassd.workflows.worker.execute import end_path, leave_refusal, refuse_version
from klassd.workflows.worker.execution import Execution
from klassd.workflows.worker.supervisor import Supervisor

IDLE = 60.0  # seconds for somebody to come; once the last one has gone, nobody will come to launch any more
ORPHANED = 1.0  # seconds between looks whether who started it is still there to come
PENDING = 1024 * 1024  # bytes a connection may be behind


class Launch(msgspec.Struct, frozen=True, tag_field="op", tag="launch"):
    order: Order


class Stop(msgspec.Struct, frozen=True, tag_field="op", tag="stop"):
    id: str
    grace: float


class Retire(msgspec.Struct, frozen=True, tag_field="op", tag="retire"):
    pass


_said = msgspec.json.Decoder(Launch | Stop | Retire).decode


class Template:
    def __init__(self, module: str, spool: str, path: str, parent: int) -> None:
        self._spool, self._path = spool, path
        self._identity = Identity(__version__, path)
        self._supervisor = ForkingSupervisor(self._identity, self._ended, self._grew, self._answer)
        self._asking: dict[str, _Connection] = {}  # who waits to hear whether it was launched
        self._connections: dict[int, _Connection] = {}
        self._retired = self._ending = False
        self._known = False  # somebody has come
        self._parent = parent
        self._since = time.monotonic()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._threads, files = self._supervisor.start_forker(module)
        self._files = {path: stamp(path) for path in files}

    def serve(self) -> None:
        self._listen()
        signal.signal(signal.SIGTERM, self._asked_to_end)
        while not self._done():
            self._supervisor.turn(IDLE if self._known else ORPHANED)
            if self._ending:
                self._end_jobs()
            for connection in list(self._connections.values()):
                connection.flush()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _asked_to_end(self, number: int, frame: object) -> None:
        self._ending = self._retired = True

    def _end_jobs(self) -> None:
        self._ending = False
        for execution in self._supervisor.executions.values():
            self._supervisor.stop(execution, "stop", execution.order.grace)

    def _done(self) -> bool:
        over = self._retired or (not self._connections and self._forgotten())
        return over and not self._supervisor.executions

    def _forgotten(self) -> bool:
        return self._known or os.getppid() != self._parent or time.monotonic() - self._since > IDLE

    # -- the module ---------------------------------------------------------------------------------------------

    def _changed(self) -> bool:
        return self._supervisor.forker_gone or any(stamp(path) != known for path, known in self._files.items())

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
        self._known = True
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
        try:
            for line in connection.lines():
                self._obey(connection, _said(line))
        except msgspec.MsgspecError:  # whoever that is speaks something else
            connection.closed = True
        if connection.closed:
            self._supervisor.unwatch(connection.fd)
            self._connections.pop(connection.fd, None)
            connection.sock.close()

    def _obey(self, connection: _Connection, said: Launch | Stop | Retire) -> None:
        if isinstance(said, Launch):
            self._launch(connection, said.order)
        elif isinstance(said, Retire):
            self._retired = True
        elif execution := self._supervisor.executions.get(said.id):
            self._supervisor.stop(execution, "stop", said.grace)

    def _tell(self, **said: object) -> None:
        for connection in self._connections.values():
            connection.tell(**said)

    # -- launching ----------------------------------------------------------------------------------------------

    def _launch(self, connection: _Connection, order: Order) -> None:
        why, message = self._try(order)
        if why:
            connection.tell(op="refused", id=order.execution_id, why=why, message=message)
        elif order.execution_id in self._supervisor.executions:
            self._asking[order.execution_id] = connection
        else:  # it came to its end without a start
            connection.tell(op="launched", id=order.execution_id)
            self._tell(op="ended", id=order.execution_id)

    def _answer(self, execution: Execution, number: int) -> None:
        """The forker has made the process, or could not and gave this error."""
        connection = self._asking.pop(execution.id)
        if number:
            os.close(execution.sink)
            withdraw(self._spool, execution.id)
            connection.tell(op="refused", id=execution.id, why="resources", message=_no_room(number))
        else:
            connection.tell(op="launched", id=execution.id)

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
        path = end_path(self._spool, order)
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
            return "resources", _no_room(error.errno or 0)
        execution.flush()
        return "", ""

    def _grew(self, execution: Execution) -> None:
        self._tell(op="grew", id=execution.id)

    def _ended(self, execution: Execution) -> None:
        if connection := self._asking.pop(execution.id, None):
            connection.tell(op="launched", id=execution.id)
        self._tell(op="ended", id=execution.id)


class ForkingSupervisor(Supervisor):
    """A supervisor whose jobs' processes are made by a forker."""

    def __init__(
        self,
        identity: Identity,
        ended: Callable[[Execution], None],
        grew: Callable[[Execution], None],
        answer: Callable[[Execution, int], None],
    ) -> None:
        super().__init__(identity, ended, grew)
        self._answer = answer
        self.forker_gone = False
        self._forker: socket.socket
        self._unborn: deque[Execution] = deque()
        self._rest = b""

    def start_forker(self, module: str) -> tuple[int, list[str]]:
        """Start it and wait until it has imported ``module``: its number of threads, and the user's files it has loaded."""
        self._forker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.nursery = os.fork()
        if self.nursery == 0:
            os.set_inheritable(theirs.fileno(), True)
            flags = ["-P"] if sys.flags.safe_path else []
            command = [sys.executable, *flags, "-m", "klassd.workflows.worker", "forker"]
            arguments = [*command, "--module", module, "--control", str(theirs.fileno())]
            os.execv(sys.executable, arguments)  # noqa: S606  (no shell is the point)
        theirs.close()
        said = ""
        while not said.endswith(".\n"):
            data = self._forker.recv(65536).decode()
            if not data:
                self.forker_gone = True
                return 1, []
            said += data
        self.watch(self._forker.fileno(), self._hear_forker)
        first, *files = said.splitlines()[:-1]
        return int(first.removeprefix("ready ")), [line.removeprefix("file ") for line in files]

    def _fork(self, execution: Execution, out: int, err: int, control: socket.socket) -> int:
        order = msgspec.json.encode(execution.order)
        head = len(order).to_bytes(4, "big") + execution.marker
        fds = array.array("i", [out, err, control.fileno()])
        sent = self._forker.sendmsg([head, order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])  # in one go: it wakes up once
        if rest := (head + order)[sent:]:
            self._forker.sendall(rest)
        self._unborn.append(execution)
        return 0

    def expecting(self) -> bool:
        return bool(self._unborn) and not self.forker_gone

    def _hear_forker(self) -> None:
        data = self._forker.recv(65536)
        if not data:
            self._forker_died()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            what, *numbers = line.split(b" ")
            if what == b"pid":
                execution = self._unborn.popleft()
                self.born(execution, int(numbers[0]))
                self._answer(execution, 0)
            elif what == b"end":
                self.ended(int(numbers[0]), int(numbers[1]))
            else:
                self._stillborn(self._unborn.popleft(), int(numbers[0]))

    def _stillborn(self, execution: Execution, number: int) -> None:
        del self.executions[execution.id]
        self._close(execution)
        self._answer(execution, number)

    def _reaped(self, pid: int, status: int) -> None:
        """A job's process is its forker's to reap; one that fell to us has lost its forker, and died of that."""
        if execution := self._by_pid.get(pid):
            execution.lost = True
        self.ended(pid, status)

    def _forker_died(self) -> None:
        """Its children died with it: nobody can tell their exit status any more."""
        self.unwatch(self._forker.fileno())
        self._forker.close()
        self.forker_gone = True
        for execution in list(self.executions.values()):
            execution.lost = True
            execution.status = signal.SIGKILL
            self._wind_up(execution)


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
            data = self.sock.recv(64 * 1024)  # from 128 KiB on, malloc maps and unmaps memory for each
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


def _no_room(number: int) -> str:
    return f"no process could be made: {errno.errorcode.get(number, number)} {os.strerror(number)}"


def stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def serve(module: str, spool: str, path: str, parent: int) -> int:
    Template(module, spool, path, parent).serve()
    return 0

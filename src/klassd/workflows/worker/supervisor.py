"""Supervises jobs' processes: frames what they say, holds their deadlines, records what they came to.

One loop for one child (a pod, ``start="spawn"``) or for many (a template process). Everything a job prints is data: only this
process writes frames. It uses no asyncio and no threads, so that it can fork.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.frames import dumps
from klassd.workflows.order import Order
from klassd.workflows.worker import child, processes
from klassd.workflows.worker.channel import Channel
from klassd.workflows.worker.claim import Identity, fitting, leave_end, start_time
from klassd.workflows.worker.console import LIMIT
from klassd.workflows.worker.execution import LINGER, SHOW, TELL, Execution, Failure
from klassd.workflows.worker.forker import become_job

READ = 64 * 1024  # bytes of one read: a pipe's whole capacity
ROUND = 16  # reads of one pipe before the others get their turn
FULL = READ // 2  # bytes of a read after which the next one may come at once
REST = 0.002  # seconds a pipe is left alone that gave little twice within them: whole frames of a flood, not a few lines each
PACKET = 32 * 1024
AGAIN = 1.0  # seconds before an outcome record that could not be written is tried again


class _Piece(msgspec.Struct, frozen=True):
    """Of an output value, as it will stand in its frame."""

    k: str
    p: str
    m: bool = False


class _Record(msgspec.Struct, frozen=True):
    """Of ctx.log or logging, as it will stand in its frame."""

    v: int
    x: str
    g: str = ""
    m: bool = False


class _Bar(msgspec.Struct, frozen=True):
    at: float
    of: float | None = None
    text: str = ""


class _Port(msgspec.Struct, frozen=True):
    """Where a service listens, if it chose that itself."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None


_port = msgspec.json.Decoder(_Port).decode
_piece = msgspec.json.Decoder(_Piece).decode
_record = msgspec.json.Decoder(_Record).decode
_bars = msgspec.json.Decoder(dict[str, _Bar]).decode
_failure = msgspec.json.Decoder(Failure).decode


class Supervisor:
    def __init__(self, identity: Identity, ended: Callable[[Execution], None], grew: Callable[[Execution], None]) -> None:
        self.identity = identity
        self.nursery = identity.pid  # whose children the jobs' processes are
        self._ended, self._grew = ended, grew
        self.executions: dict[str, Execution] = {}
        self._by_pid: dict[int, Execution] = {}
        self._unrecorded: list[tuple[float, Execution]] = []  # ended, but where is no room to write it
        self._handlers: dict[int, Callable[[], object]] = {}
        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        processes.become_subreaper()
        self.watch(self._wake_read, self._on_signal)

    # -- the loop -----------------------------------------------------------------------------------------------

    def watch(self, fd: int, handler: Callable[[], object], event: int = select.POLLIN) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, event)

    def unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)

    def turn(self, most: float) -> None:
        """Wait for something to happen, ``most`` seconds at most, and deal with it."""
        for fd, _ in self._poll.poll(self._patience(most) * 1000):
            if handler := self._handlers.get(fd):
                handler()
        now = time.monotonic()
        for execution in list(self.executions.values()):
            self._on_time(execution, now)
        for execution in self.executions.values():
            if execution.flush() and execution.grown_at is None:
                execution.grown_at = now
            if execution.grown_at is not None and now >= execution.grown_at + TELL:
                execution.grown_at = None
                self._grew(execution)
            if execution.backlog or execution.muted:
                self._regulate(execution)
            if execution.unwritten and not execution.killed and execution.status is None and execution.pid:
                self._kill(execution)  # what it goes on to say would be lost
        while self._unrecorded and now >= self._unrecorded[0][0]:
            self._record_end(self._unrecorded.pop(0)[1])

    def _patience(self, most: float) -> float:
        now = time.monotonic()
        times = [execution.next_time() for execution in self.executions.values()]
        times += [when for when, _ in self._unrecorded]
        return max(0.0, min([now + most, *times]) - now)

    def _on_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        for pid, status in processes.ended():
            self._reaped(pid, status)

    def _reaped(self, pid: int, status: int) -> None:
        self.ended(pid, status)

    # -- starting -----------------------------------------------------------------------------------------------

    def start(self, order: Order, sink: int, end_path: str = "", limit: int = LIMIT) -> Execution:
        """Begin the job's process. Raises OSError where the machine has no room; nothing was started then."""
        if order.service is not None:
            order = _serving().with_port(order)
        execution = Execution(order, sink, end_path, limit)
        execution.marker = b"\x1e" + os.urandom(8).hex().encode("ascii") + b"\n"
        pipes: list[int] = []
        try:
            for _ in range(2):
                pipes.extend(os.pipe2(os.O_CLOEXEC))
            ours, theirs = socket.socketpair(socket.AF_UNIX, getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM))
        except OSError:
            for fd in pipes:
                os.close(fd)
            raise
        execution.out, out, execution.err, err = pipes
        execution.control = ours
        with theirs:
            try:
                pid = self._fork(execution, out, err, theirs)
            except OSError:
                self._close(execution)
                raise
            finally:
                os.close(out)
                os.close(err)
        self.executions[execution.id] = execution
        if pid:
            self.born(execution, pid)
        return execution

    def _fork(self, execution: Execution, out: int, err: int, control: socket.socket) -> int:
        """Make the job's process; its pid, or 0 where that is told later, through ``born`` or ``stillborn``."""
        parent = self.identity.pid
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
            if pid == 0:
                ours = [*self._handlers, self._wake_write, execution.sink, execution.out, execution.err, err]
                become_job(parent, out, err, ours)
                child.run(execution.order, Channel(control.fileno(), execution.marker, out))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return pid

    def born(self, execution: Execution, pid: int) -> None:
        """The job's process exists: listen to it."""
        assert execution.control is not None
        mark("before:born")
        execution.pid = pid
        self._by_pid[pid] = execution
        if execution.order.timeout is not None:
            execution.deadline = time.monotonic() + execution.order.timeout
        if execution.order.container is None:
            self._probe(execution)
        for fd in (execution.out, execution.err, execution.control.fileno()):
            os.set_blocking(fd, False)
        self._listen(execution)
        execution.say("start", dumps({"pid": pid, "start": start_time(pid)}))
        if execution.requested:  # asked to stop while it was being made
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _probe(self, execution: Execution) -> None:
        """Ask a service whether it can be used, where it does not say so itself."""
        service = execution.order.service
        if execution.requested:
            return
        if service is not None and service.ready_within is not None:
            execution.ready_by = time.monotonic() + service.ready_within
        if service is not None and service.ready != "signal":
            engine = execution.order.engine
            published = engine is not None and engine.port > 0
            execution.probe = _serving().Probe(service, self, lambda: self._ready(execution, None), published=published)

    def _ready(self, execution: Execution, port: int | None) -> None:
        execution.end_probe()
        if execution.ready or execution.requested:
            return
        execution.ready, execution.ready_by = True, None
        service = execution.order.service
        said = {} if service is None else {"host": _serving().host(), "port": port or service.port}
        execution.say("ready", dumps({name: value for name, value in said.items() if value}))

    def _listen(self, execution: Execution) -> None:
        if execution.out >= 0:
            self.watch(execution.out, lambda: self._on_out_ready(execution))
        if execution.err >= 0:
            self.watch(execution.err, lambda: self._on_err(execution))
        if execution.control:
            self.watch(execution.control.fileno(), lambda: self._on_control(execution))

    def _regulate(self, execution: Execution) -> None:
        """Whoever reads the console is behind: the job waits for them at its own pipes, and nothing piles up here."""
        if execution.backlog and not execution.muted:
            execution.muted, execution.resting = True, None
            for fd in (execution.out, execution.err, execution.control.fileno() if execution.control else -1):
                self.unwatch(fd)
            self.watch(execution.sink, lambda: None, select.POLLOUT)
        elif not execution.backlog:
            execution.muted = False
            self.unwatch(execution.sink)
            self._listen(execution)

    def ended(self, pid: int, status: int) -> None:
        """A child is dead and reaped: a job's process, or something that one left behind."""
        if execution := self._by_pid.get(pid):
            execution.status = status
            self._wind_up(execution)

    # -- what it says -------------------------------------------------------------------------------------------

    def _on_out_ready(self, execution: Execution) -> None:
        now, before = time.monotonic(), execution.out_read_at
        execution.out_read_at = now
        if now - before < REST and execution.out_size < FULL:
            self.unwatch(execution.out)
            execution.resting = now + REST
        else:
            self._on_out(execution)

    def _rested(self, execution: Execution) -> None:
        execution.resting = None
        if execution.out >= 0:
            self.watch(execution.out, lambda: self._on_out_ready(execution))
            self._on_out(execution)

    def _on_out(self, execution: Execution) -> bool:
        """Read fd 1 on. False: it is at its end, or nothing is there now."""
        data = self._read(execution, "out")
        execution.out_size = len(data)
        if data:
            self._place(execution, execution.carry + data, whole=len(data) < READ)
        return bool(data)

    def _place(self, execution: Execution, data: bytes, whole: bool) -> None:
        """Text of fd 1 and, where a marker stands, the message that belongs there. The message is sent before its marker is
        written, so it is there. ``whole``: no marker is cut at the end of ``data``, for it is written in one go."""
        *texts, last = data.split(execution.marker)
        for text in texts:
            self._print(execution, text)
            if execution.ahead:
                execution.ahead -= 1
                continue
            if not execution.messages:
                self._receive(execution)
            if execution.messages:
                self._drain_err(execution)
                self._message(execution, execution.messages.popleft())
        keep = 0 if whole else _maybe_marker(last, execution.marker)
        execution.carry = last[len(last) - keep :]
        self._print(execution, last[: len(last) - keep])

    def _print(self, execution: Execution, text: bytes) -> None:
        if text:
            execution.console.raw(1, text, time.monotonic())

    def _on_err(self, execution: Execution) -> bool:
        data = self._read(execution, "err")
        if data:
            execution.console.raw(2, data, time.monotonic())
        return bool(data)

    def _drain_err(self, execution: Execution) -> None:
        for _ in range(ROUND):
            if not self._on_err(execution):
                return

    def _on_control(self, execution: Execution) -> None:
        """Messages, each in its place: at its marker, or after all that was printed before it was sent."""
        self._receive(execution)
        for _ in range(ROUND):  # much more than a pipe holds
            if not execution.messages or not self._on_out(execution):
                break
        if execution.messages:
            self._drain_err(execution)
        while execution.messages:
            execution.ahead += 1
            self._message(execution, execution.messages.popleft())

    def _receive(self, execution: Execution) -> None:
        """Take what messages there are, a round of them."""
        control = execution.control
        while control is not None and len(execution.messages) < ROUND:
            try:
                message = control.recv(PACKET)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._close_control(execution)
                return
            if message[:1] in b"IPVKA":  # these have no place in the console, and no marker
                self._message(execution, message)
            else:
                execution.messages.append(message)

    def _message(self, execution: Execution, message: bytes) -> None:
        try:
            self._understand(execution, message[:1], message[1:])
        except (ValueError, msgspec.MsgspecError):  # not ours: the job has found the socket
            note = "it sent its supervisor something that is no message"
            if note not in execution.warnings:
                execution.warnings.append(note)

    def _understand(self, execution: Execution, kind: bytes, body: bytes) -> None:
        if kind in b"Ll":
            lines, _, rest = body.partition(b" ")
            _record(b"{" + rest)
            execution.console.record(int(lines), rest, kind == b"l")
        elif kind == b"E":
            execution.console.raw(2, body, time.monotonic())
        elif kind == b"P":
            _bars(body)
            execution.bars.update(msgspec.json.decode(body))
        elif kind == b"V":
            piece = _piece(body)
            execution.take_value(piece.k, piece.p, body)
        elif kind == b"S":
            self._ready(execution, _port(body).port)
        elif kind == b"A":
            execution.order = _serving().at_port(execution.order, _port(body).port)
            self._probe(execution)
        elif kind == b"I":
            execution.say("begin", b"{}")
        elif kind in b"RX":
            self._conclude(execution, kind == b"R", body)
        elif kind == b"K":
            execution.leaves = True

    def _conclude(self, execution: Execution, succeeded: bool, body: bytes) -> None:
        if execution.succeeded or execution.failure:
            raise ValueError("a second result")
        if not succeeded:
            execution.failure = _failure(body)
        elif body:
            execution.take_value("", value := body.decode(), dumps({"k": "", "p": value}))
        execution.returned_at = execution.returned_at or time.time()
        execution.succeeded = succeeded
        execution.effective = execution.requested

    def _read(self, execution: Execution, which: str) -> bytes:
        fd = execution.out if which == "out" else execution.err
        if fd < 0:
            return b""
        try:
            data = os.read(fd, READ)
        except BlockingIOError:
            return b""
        if not data:
            self.unwatch(fd)
            os.close(fd)
            setattr(execution, which, -1)
        return data

    def _close_control(self, execution: Execution) -> None:
        if execution.control is not None:
            self.unwatch(execution.control.fileno())
            execution.control.close()
            execution.control = None

    # -- time ---------------------------------------------------------------------------------------------------

    def _on_time(self, execution: Execution, now: float) -> None:
        if execution.resting is not None and now >= execution.resting:
            self._rested(execution)
        if execution.bars and now >= execution.bars_at + SHOW:
            execution.show_bars(now)
        since = execution.console.unfinished_since
        if since is not None and now >= since + SHOW:
            execution.console.give_out(now, SHOW)
        if execution.deadline is not None and now >= execution.deadline:
            self.stop(execution, "deadline", execution.order.grace)
        if execution.ready_by is not None and now >= execution.ready_by:
            self.stop(execution, "not_ready", execution.order.grace)
        if execution.kill_at is not None and now >= execution.kill_at and execution.status is None and execution.pid:
            self._kill(execution)
        if now >= execution.beat_at:
            execution.say("beat", b"{}")
        if execution.probe is not None and now >= execution.probe.next_at:
            execution.probe.turn(now)
        if execution.ended_at is not None:
            self._wind_up(execution)

    def _kill(self, execution: Execution) -> None:
        execution.killed, execution.kill_at = True, None
        processes.kill_group(execution.pid)

    def stop(self, execution: Execution, why: str, grace: float) -> None:
        """SIGTERM now, SIGKILL for the whole group after ``grace`` seconds. The first reason stands."""
        now = time.monotonic()
        if execution.requested is None:
            execution.requested, execution.deadline, execution.ready_by = why, None, None
            if execution.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(execution.pid, signal.SIGTERM)
        execution.kill_at = min(execution.kill_at or now + grace, now + grace)

    # -- the end ------------------------------------------------------------------------------------------------

    def _wind_up(self, execution: Execution) -> None:
        """The job's process is dead: take what it left to say, let nothing of it live on, and record the outcome."""
        now = time.monotonic()
        execution.end_probe()
        self._take_the_rest(execution)
        if execution.ended_at is None:
            execution.ended_at, execution.suspicious = now, self._suspicious(execution)
        if execution.suspicious:
            if self.expecting():
                return
            execution.suspicious = False
            self._kill_strays(execution)
            self._take_the_rest(execution)
        open_ends = execution.out >= 0 or execution.err >= 0
        if open_ends and now < execution.ended_at + LINGER:
            return
        self._finish(execution, open_ends)

    def _take_the_rest(self, execution: Execution) -> None:
        """All that a dead process can have left, and no more: something it has started may still be writing."""
        for _ in range(ROUND):
            if not self._on_out(execution):
                break
        for _ in range(4 * ROUND):
            self._on_control(execution)
            if execution.control is None or not _readable(execution.control.fileno()):
                break
        self._drain_err(execution)

    def expecting(self) -> bool:
        """Whether processes are being made whose names are not known yet: they would be taken for strays."""
        return False

    def _suspicious(self, execution: Execution) -> bool:
        """Whether it may have left processes behind; the search costs more than a trivial job."""
        return execution.leaves or not execution.orderly() or execution.out >= 0 or execution.err >= 0

    def _kill_strays(self, execution: Execution) -> None:
        if strays := processes.kill_strays(self.nursery, execution.pid, set(self._by_pid)):
            execution.warnings.append(f"{strays} process(es) it had started were still running and were killed")

    def _finish(self, execution: Execution, open_ends: bool) -> None:
        del self.executions[execution.id]
        self._by_pid.pop(execution.pid, None)
        self._close(execution)
        self.unwatch(execution.sink)
        if open_ends:
            execution.warnings.append("something it had started kept its output open")
        self._print(execution, execution.carry)
        if execution.bars:
            execution.show_bars(time.monotonic())
        execution.console.close()
        for body in execution.values if execution.succeeded else ():
            execution.say("val", body)
        os.set_blocking(execution.sink, True)  # nothing is left to supervise here
        execution.flush()
        mark("before:end")
        execution.record = fitting(execution.end())
        execution.say("end", execution.record)
        execution.flush()
        os.close(execution.sink)
        self._record_end(execution)

    def _record_end(self, execution: Execution) -> None:
        """Where the spool could not take the last frame, leave it in a file; where the disk is full, again and again: nobody
        else knows it."""
        try:
            if execution.unwritten and execution.end_path:
                leave_end(execution.end_path, execution.record)
        except OSError:
            self._unrecorded.append((time.monotonic() + AGAIN, execution))
        else:
            mark("after:end")
            self._ended(execution)

    def _close(self, execution: Execution) -> None:
        for fd in (execution.out, execution.err):
            if fd >= 0:
                self.unwatch(fd)
                os.close(fd)
        execution.out = execution.err = -1
        self._close_control(execution)


def _serving() -> Any:
    """On first use: most executions are no services."""
    from klassd.workflows.worker import serving

    return serving


def _maybe_marker(text: bytes, marker: bytes) -> int:
    """How many bytes at the end of ``text`` may be the beginning of a marker."""
    start = text.rfind(b"\x1e", max(0, len(text) - len(marker) + 1))
    return len(text) - start if start >= 0 and marker.startswith(text[start:]) else 0


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))

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
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End, Error, Order
from klassd.workflows.worker import child, processes
from klassd.workflows.worker.channel import Channel
from klassd.workflows.worker.claim import Identity, fitting, leave_end, start_time
from klassd.workflows.worker.console import LIMIT, Console
from klassd.workflows.worker.forker import become_job

READ = 64 * 1024  # bytes of one read: a pipe's whole capacity
ROUND = 16  # reads of one pipe before the others get their turn
SHOW = 0.1  # seconds between bars, and before an unfinished line is shown
BEAT = 10.0  # seconds of silence before a sign of life
REST = 0.002  # seconds a pipe is left alone that gave little twice within them: whole frames of a flood, not a few lines each
TELL = 0.01  # seconds before growth of a console is told: a short job's is told with its end
MARKER_WAIT = 0.05  # seconds a marker may be ahead of its message
LINGER = 0.2  # seconds for pipes that something outlives the job with
PACKET = 32 * 1024


class Execution:
    """One job's process as its supervisor sees it."""

    def __init__(self, order: Order, sink: int, end_path: str = "", limit: int = LIMIT) -> None:
        self.order = order
        self.end_path = end_path
        self.id = order.execution_id
        self.sink = sink
        self.console = Console(self.say, limit)
        self.marker = b""
        self.pid = 0
        self.out = self.err = -1
        self.control: socket.socket | None = None
        self.messages: deque[bytes] = deque()
        self.held = b""  # of fd 1, behind a marker whose message has not come
        self.carry = b""  # of fd 1, perhaps the beginning of a marker
        self.awaiting: float | None = None
        self.grown_at: float | None = None
        self.out_read_at = 0.0
        self.resting: float | None = None
        self.started_at = time.time()
        self.deadline: float | None = None
        self.kill_at: float | None = None
        self.requested: str | None = None
        self.effective: str | None = None  # what was requested before the result was recorded
        self.killed = False
        self.leaves = False  # processes behind: it said so
        self.lost = False  # the process that made it died, and took it along
        self.bars: dict[str, Any] = {}
        self.bars_at = 0.0
        self.beat_at = time.monotonic() + BEAT
        self.values: list[bytes] = []
        self.result: dict[str, Any] | None = None
        self.failure: dict[str, Any] | None = None
        self.warnings: list[str] = []
        self.status: int | None = None
        self.ended_at: float | None = None
        self.unwritten: str | None = None
        self._seq = 1  # the hello was frame 0
        self._frames: list[bytes] = []

    def say(self, kind: str, body: bytes) -> None:
        self._frames.append(encode(self.order.nonce, self._seq, kind, int(time.time() * 1e6), body))
        self._seq += 1

    def flush(self) -> bool:
        """Write what was said, in one go. False: there was nothing."""
        if not self._frames:
            return False
        data, self._frames = b"".join(self._frames), []
        self.beat_at = time.monotonic() + BEAT
        try:
            while data:
                data = data[os.write(self.sink, data) :]
        except OSError as error:
            self.unwritten = self.unwritten or f"its console could not be written: {error.strerror}"
        return True


class Supervisor:
    def __init__(self, identity: Identity, ended: Callable[[Execution], None], grew: Callable[[Execution], None]) -> None:
        self.identity = identity
        self.nursery = identity.pid  # whose children the jobs' processes are
        self._ended, self._grew = ended, grew
        self.executions: dict[str, Execution] = {}
        self._by_pid: dict[int, Execution] = {}
        self._handlers: dict[int, Callable[[], object]] = {}
        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        processes.become_subreaper()
        self.watch(self._wake_read, self._on_signal)

    # -- the loop -----------------------------------------------------------------------------------------------

    def watch(self, fd: int, handler: Callable[[], object]) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

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

    def _patience(self, most: float) -> float:
        now = time.monotonic()
        times = [now + most]
        for execution in self.executions.values():
            times.extend(_appointments(execution))
        return max(0.0, min(times) - now)

    def _on_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        for pid, status in processes.ended():
            self.ended(pid, status)

    # -- starting -----------------------------------------------------------------------------------------------

    def start(self, order: Order, sink: int, end_path: str = "", limit: int = LIMIT) -> Execution:
        """Begin the job's process. Raises OSError where the machine has no room; nothing was started then."""
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
                ours = [*self._handlers, self._wake_write, execution.sink, execution.out, execution.err, out, err]
                become_job(parent, out, err, ours)
                child.run(execution.order, Channel(control, execution.marker))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return pid

    def born(self, execution: Execution, pid: int) -> None:
        """The job's process exists: listen to it."""
        assert execution.control is not None
        execution.pid = pid
        self._by_pid[pid] = execution
        if execution.order.timeout is not None:
            execution.deadline = time.monotonic() + execution.order.timeout
        handlers: tuple[tuple[int, Callable[[], object]], ...] = (
            (execution.out, lambda: self._on_out_ready(execution)),
            (execution.err, lambda: self._on_err(execution)),
            (execution.control.fileno(), lambda: self._on_control(execution)),
        )
        for fd, handler in handlers:
            os.set_blocking(fd, False)
            self.watch(fd, handler)
        execution.say("start", dumps({"pid": pid, "start": start_time(pid)}))
        if execution.requested:  # asked to stop while it was being made
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def ended(self, pid: int, status: int) -> None:
        """A child is dead and reaped: a job's process, or something that one left behind."""
        if execution := self._by_pid.get(pid):
            execution.status = status
            self._wind_up(execution)

    # -- what it says -------------------------------------------------------------------------------------------

    def _on_out_ready(self, execution: Execution) -> None:
        now, before = time.monotonic(), execution.out_read_at
        execution.out_read_at = now
        if now - before < REST and execution.out >= 0:
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
        if execution.awaiting is not None:
            return False
        data = self._read(execution, "out")
        if data:
            self._place(execution, execution.carry + data)
        return bool(data)

    def _place(self, execution: Execution, data: bytes) -> None:
        """Text of fd 1 and, where a marker stands, the message that belongs there."""
        execution.carry = b""
        while True:
            text, marker, data = data.partition(execution.marker)
            if not marker:
                keep = _maybe_marker(text, execution.marker)
                execution.carry = text[len(text) - keep :] if keep else b""
                text = text[: len(text) - keep] if keep else text
            if text:
                execution.console.raw(1, text, time.monotonic())
            if not marker:
                return
            self._drain_err(execution)
            if not execution.messages:
                self._receive(execution)
            if not execution.messages:
                execution.held = data
                execution.awaiting = time.monotonic() + MARKER_WAIT
                return
            self._message(execution, execution.messages.popleft())

    def _go_on(self, execution: Execution) -> None:
        """The awaited message came, or will not."""
        execution.awaiting = None
        held, execution.held = execution.held, b""
        if held:
            self._place(execution, held)

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
        """Messages; those whose marker is not to be found are placed after all that was written before them."""
        if not self._receive(execution):
            return
        if execution.awaiting is not None:
            self._message(execution, execution.messages.popleft())
            self._go_on(execution)
        for _ in range(ROUND):
            if not execution.messages or not self._on_out(execution):
                break
        while execution.messages and execution.awaiting is None:
            self._drain_err(execution)
            self._message(execution, execution.messages.popleft())

    def _receive(self, execution: Execution) -> bool:
        """Take what messages there are. False: none came."""
        control, before = execution.control, len(execution.messages)
        while control is not None and len(execution.messages) < ROUND:
            try:
                message = control.recv(PACKET)
            except BlockingIOError:
                break
            except OSError:
                message = b""
            if not message:
                self._close_control(execution)
                break
            if message[:1] in b"PVK":  # these have no place in the console, and no marker
                self._message(execution, message)
            else:
                execution.messages.append(message)
        return len(execution.messages) > before or bool(execution.messages)

    def _message(self, execution: Execution, message: bytes) -> None:
        kind, body = message[:1], message[1:]
        if kind in b"Ll":
            lines, _, rest = body.partition(b" ")
            execution.console.record(int(lines), rest, kind == b"l")
        elif kind == b"E":
            execution.console.raw(2, body, time.monotonic())
        elif kind == b"P":
            execution.bars.update(msgspec.json.decode(body))
        elif kind == b"V":
            execution.values.append(body)
        elif kind == b"S":
            execution.say("ready", b"{}")
        elif kind == b"R":
            execution.result = msgspec.json.decode(body)
            if (value := execution.result.get("value")) is not None:
                execution.values.append(dumps({"k": "", "p": value}))
            execution.effective = execution.requested
        elif kind == b"X":
            execution.failure = msgspec.json.decode(body)
            execution.effective = execution.requested
        elif kind == b"K":
            execution.leaves = True

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
        if execution.awaiting is not None and now >= execution.awaiting:
            self._go_on(execution)
        if execution.bars and now >= execution.bars_at + SHOW:
            self._show_bars(execution, now)
        since = execution.console.unfinished_since
        if since is not None and now >= since + SHOW:
            execution.console.give_out(now, SHOW)
        if execution.deadline is not None and now >= execution.deadline:
            self.stop(execution, "deadline", execution.order.grace)
        if execution.kill_at is not None and now >= execution.kill_at and execution.status is None and execution.pid:
            execution.killed, execution.kill_at = True, None
            processes.kill_group(execution.pid)
        if now >= execution.beat_at:
            execution.say("beat", b"{}")
        if execution.ended_at is not None:
            self._wind_up(execution)

    def _show_bars(self, execution: Execution, now: float) -> None:
        bars, execution.bars, execution.bars_at = execution.bars, {}, now
        body = dumps({"b": bars})
        if len(body) < 8 * 1024:
            execution.say("prog", body)

    def stop(self, execution: Execution, why: str, grace: float) -> None:
        """SIGTERM now, SIGKILL for the whole group after ``grace`` seconds. The first reason stands."""
        now = time.monotonic()
        if execution.requested is None:
            execution.requested, execution.deadline = why, None
            if execution.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(execution.pid, signal.SIGTERM)
        execution.kill_at = min(execution.kill_at or now + grace, now + grace)

    # -- the end ------------------------------------------------------------------------------------------------

    def _wind_up(self, execution: Execution) -> None:
        """The job's process is dead: take what it left to say, let nothing of it live on, and record the outcome."""
        now = time.monotonic()
        self._take_the_rest(execution)
        if execution.ended_at is None:
            execution.ended_at = now
            if self._suspicious(execution):
                self._kill_strays(execution)
                self._take_the_rest(execution)
        open_ends = execution.out >= 0 or execution.err >= 0
        if open_ends and now < execution.ended_at + LINGER:
            return
        self._finish(execution, open_ends)

    def _take_the_rest(self, execution: Execution) -> None:
        while self._on_out(execution):
            pass
        self._receive(execution)
        if execution.awaiting is not None:
            self._go_on(execution)
        self._drain_err(execution)
        while execution.messages:
            self._message(execution, execution.messages.popleft())
            self._receive(execution)
            while self._on_out(execution):
                pass

    def _suspicious(self, execution: Execution) -> bool:
        """Whether it may have left processes behind; the search costs more than a trivial job."""
        orderly = os.waitstatus_to_exitcode(execution.status or 0) == (
            0 if execution.result else 1 if execution.failure else None
        )
        return execution.leaves or not orderly or execution.out >= 0 or execution.err >= 0

    def _kill_strays(self, execution: Execution) -> None:
        processes.kill_group(execution.pid)
        strays = processes.kill_strays(self.nursery, set(self._by_pid))
        if strays:
            execution.warnings.append(f"{strays} process(es) it had started were still running and were killed")

    def _finish(self, execution: Execution, open_ends: bool) -> None:
        del self.executions[execution.id]
        self._by_pid.pop(execution.pid, None)
        self._close(execution)
        if open_ends:
            execution.warnings.append("something it had started kept its output open")
        if execution.carry:
            execution.console.raw(1, execution.carry, time.monotonic())
        if execution.bars:
            self._show_bars(execution, time.monotonic())
        execution.console.close()
        for body in execution.values if execution.result else ():
            execution.say("val", body)
        end = self._end_of(execution)
        encoded = fitting(end)
        execution.say("end", encoded)
        execution.flush()
        os.close(execution.sink)
        if execution.end_path:
            with contextlib.suppress(OSError):
                leave_end(execution.end_path, encoded)
        self._ended(execution)

    def _close(self, execution: Execution) -> None:
        for fd in (execution.out, execution.err):
            if fd >= 0:
                self.unwatch(fd)
                os.close(fd)
        execution.out = execution.err = -1
        self._close_control(execution)

    def _end_of(self, execution: Execution) -> End:
        status = execution.status or 0
        failure = execution.failure
        result = "success" if execution.result else "failure" if failure else "none"
        outputs = execution.result["outputs"] if execution.result else {}
        error = None
        if failure:
            error = Error(**{name: failure[name] for name in ("type", "message", "traceback", "retry")})
        cause, stored = (failure or {}).get("cause"), (failure or {}).get("stored", True)
        if execution.lost and result == "none":
            cause = "lost"
        if execution.unwritten:
            error = error or Error(type="OSError", message=execution.unwritten)
            result, cause, stored, outputs = "failure" if failure else "success", cause or "output", bool(failure), {}
        if not stored and result == "failure":
            result = "success"
        return End(
            result=result,
            error=error,
            stored=stored,
            requested=execution.effective if (execution.result or failure) else execution.requested,
            cause=cause,
            exit_code=os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) and not execution.lost else None,
            killed=execution.killed,
            lines=execution.console.lines,
            outputs={name: tuple(entry) for name, entry in outputs.items()},
            warnings=tuple(execution.warnings),
            started_at=execution.started_at,
            finished_at=time.time(),
        )


def _appointments(execution: Execution) -> list[float]:
    """When this execution wants to be looked at."""
    times = [execution.beat_at]
    if execution.grown_at is not None:
        times.append(execution.grown_at + TELL)
    if execution.resting is not None:
        times.append(execution.resting)
    if execution.awaiting is not None:
        times.append(execution.awaiting)
    if execution.bars:
        times.append(execution.bars_at + SHOW)
    if (since := execution.console.unfinished_since) is not None:
        times.append(since + SHOW)
    if execution.deadline is not None:
        times.append(execution.deadline)
    if execution.kill_at is not None:
        times.append(execution.kill_at)
    if execution.ended_at is not None:
        times.append(execution.ended_at + LINGER)
    return times


def _maybe_marker(text: bytes, marker: bytes) -> int:
    """How many bytes at the end of ``text`` may be the beginning of a marker."""
    start = text.rfind(b"\x1e", max(0, len(text) - len(marker) + 1))
    return len(text) - start if start >= 0 and marker.startswith(text[start:]) else 0

"""One job's process as its supervisor sees it: what it has said so far, what it was asked for, what it came to."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from klassd.workflows.crashes import mark
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End, Error, Order
from klassd.workflows.worker.console import LIMIT, Console

if TYPE_CHECKING:
    from klassd.workflows.worker.serving import Probe

SHOW = 0.1  # seconds between bars, and before an unfinished line is shown
BEAT = 10.0  # seconds of silence before a sign of life
TELL = 0.01  # seconds before growth of a console is told: a short job's is told with its end
LINGER = 0.2  # seconds for pipes that something outlives the job with
BACKLOG = 1024 * 1024  # bytes not yet written at which nothing more is read


class Failure(msgspec.Struct, frozen=True):
    """The message that a job has failed."""

    type: str
    message: str
    traceback: str = ""
    retry: bool = True
    cause: str | None = None
    stored: bool = True


class Execution:
    def __init__(self, order: Order, sink: int, end_path: str = "", limit: int = LIMIT) -> None:
        self.order = order
        self.id = order.execution_id
        self.sink = sink
        self.end_path = end_path  # where the outcome goes if its frame cannot be written; empty: nowhere
        self.record = b""
        self.console = Console(self.say, limit)
        # its process
        self.pid = 0
        self.out = self.err = -1
        self.control: socket.socket | None = None
        self.status: int | None = None
        self.started_at = time.time()
        self.returned_at = 0.0
        self.ended_at: float | None = None
        self.suspicious = False  # it has ended, and what it may have left behind is to be searched for
        self.leaves = False  # processes behind: it said so
        self.lost = False  # the process that made it died, and took it along
        # what it says
        self.marker = b""
        self.messages: deque[bytes] = deque()
        self.ahead = 0  # messages that were placed before their marker was seen
        self.carry = b""  # of fd 1, perhaps the beginning of a marker
        self.out_read_at = 0.0
        self.out_size = 0  # bytes that read gave
        self.resting: float | None = None
        self.bars: dict[str, Any] = {}
        self.bars_at = 0.0
        self.values: list[bytes] = []
        self.outputs: dict[str, tuple[int, int]] = {}  # bytes and checksum of each, as far as it has come
        self.probe: Probe | None = None
        self.ready = False  # it can be used, if it is a service
        self.ready_by: float | None = None  # when it must be
        self.succeeded = False
        self.failure: Failure | None = None
        self.warnings: list[str] = []
        # what it was asked for
        self.deadline: float | None = None
        self.kill_at: float | None = None
        self.requested: str | None = None
        self.effective: str | None = None  # what was requested before the result was recorded
        self.killed = False
        # what was written of it
        self.beat_at = time.monotonic() + BEAT
        self.grown_at: float | None = None
        self.backlog = 0  # bytes that could not be written yet
        self.muted = False  # nothing is read from it, so that the backlog does not grow
        self.unwritten = ""  # why something could not be written
        self._seq = 1  # the hello was frame 0
        self._frames: list[bytes] = []

    def say(self, kind: str, body: bytes) -> None:
        self._frames.append(encode(self.order.nonce, self._seq, kind, int(time.time() * 1e6), body))
        self._seq += 1

    def show_bars(self, now: float) -> None:
        bars, self.bars, self.bars_at = self.bars, {}, now
        body = dumps({"b": bars})
        if len(body) < 8 * 1024:
            self.say("prog", body)

    def take_value(self, name: str, piece: str, body: bytes) -> None:
        """A piece of an output value, and the frame it will stand in when the job has succeeded."""
        self.returned_at = self.returned_at or time.time()  # outputs are told when run is over
        data = piece.encode()
        size, crc = self.outputs.get(name, (0, 0))
        self.outputs[name] = (size + len(data), zlib.crc32(data, crc))
        self.values.append(body)

    def end_probe(self) -> None:
        if self.probe is not None:
            self.probe.close()
            self.probe = None

    # -- writing ------------------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write what was said, in one go. False: there was nothing."""
        if not self._frames:
            return False
        mark("before:spool")
        data, self._frames = b"".join(self._frames), []
        self.beat_at = time.monotonic() + BEAT
        done = self.backlog = 0
        try:
            while done < len(data):
                done += os.write(self.sink, data[done:] if done else data)
        except BlockingIOError:  # standard output of a pod, where nobody reads at present
            self._frames = [data[done:]]
            self.backlog = len(data) - done
        except OSError as error:
            self._drop(data, done)
            self.unwritten = self.unwritten or f"its console could not be written: {error.strerror}"
        mark("after:spool")
        return True

    def _drop(self, data: bytes, done: int) -> None:
        """No torn frame stays: its first part goes too, and the numbers begin again there."""
        torn = done - (data.rfind(b"\n", 0, done) + 1)
        self._seq -= data.count(b"\n", done - torn)
        if torn:
            with contextlib.suppress(OSError):
                os.ftruncate(self.sink, os.fstat(self.sink).st_size - torn)

    # -- time ---------------------------------------------------------------------------------------------------

    def next_time(self) -> float:
        """When it wants to be looked at."""
        times = [
            self.beat_at,
            self.resting,
            self.deadline,
            self.ready_by,
            self.kill_at,
            _plus(self.grown_at, TELL),
            _plus(self.console.unfinished_since, SHOW),
            None if self.suspicious else _plus(self.ended_at, LINGER),  # that is looked at when its forker says something
            self.bars_at + SHOW if self.bars else None,
            self.probe.next_at if self.probe else None,
        ]
        return min(each for each in times if each is not None)

    # -- the end ------------------------------------------------------------------------------------------------

    def orderly(self) -> bool:
        """Its process ended as one does that has told its result."""
        expected = 0 if self.succeeded else 1 if self.failure else None
        return os.waitstatus_to_exitcode(self.status or 0) == expected

    def end(self) -> End:
        status = self.status or 0
        return msgspec.structs.replace(
            self._outcome(),
            requested=self.effective if (self.succeeded or self.failure) else self.requested,
            exit_code=os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) and not self.lost else None,
            killed=self.killed,
            lines=self.console.lines,
            warnings=tuple(self.warnings),
            started_at=self.started_at,
            returned_at=self.returned_at,
            finished_at=time.time(),
        )

    def _outcome(self) -> End:
        if self.failure:
            return _failed(self.failure)
        if self.unwritten:
            error = Error(type="OSError", message=self.unwritten)
            return (
                End(result="success", stored=False, cause="output", error=error)
                if self.succeeded
                else End(result="failure", error=error)
            )
        if self.succeeded:
            outputs = {name: (size, f"{crc:08x}") for name, (size, crc) in self.outputs.items()}
            return End(result="success", outputs=outputs)
        return End(result="none", cause="lost" if self.lost else None)


def _failed(failure: Failure) -> End:
    error = Error(type=failure.type, message=failure.message, traceback=failure.traceback, retry=failure.retry)
    return End(result="failure" if failure.stored else "success", stored=failure.stored, cause=failure.cause, error=error)


def _plus(time_: float | None, seconds: float) -> float | None:
    return None if time_ is None else time_ + seconds

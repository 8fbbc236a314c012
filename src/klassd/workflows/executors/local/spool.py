"""Reads a spool file and tells it in the words of ``ports.Executor``.

One open, read and close each time, whatever is new in it. A cursor is the offset behind a log frame. Output values stand
behind all log frames, so whoever resumes at a cursor reads them again.
"""

from __future__ import annotations

import os

import msgspec

from klassd.workflows.executors.telling import Telling
from klassd.workflows.frames import MAX_FRAME, Frame, prefix_of, read_line
from klassd.workflows.model.execution import Told
from klassd.workflows.order import End

PORTION = 1024 * 1024  # bytes read at once: what a follower holds in memory
_HEAD = 2 * MAX_FRAME  # hello and start are the first two frames
_NONCE = slice(1, 33)  # behind the record separator


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor, as it introduced itself."""

    v: str
    boot: str
    pid: int
    start: int
    sock: str | None = None


class JobProcess(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    start: int


_hello = msgspec.json.Decoder(Hello).decode
_job = msgspec.json.Decoder(JobProcess).decode
_end = msgspec.json.Decoder(End).decode


def log_path(directory: str, execution_id: str) -> str:
    return f"{directory}/{execution_id}.log"


def end_path(directory: str, execution_id: str) -> str:
    return f"{directory}/{execution_id}.end"


def is_claimed(directory: str, execution_id: str) -> bool:
    """Whether somebody has started it, ever, or is about to."""
    return os.path.exists(log_path(directory, execution_id))


def forbid(directory: str, execution_id: str) -> bool:
    """Claim the start of what was not started yet, so that it never will be: an order for it may be under way still.
    False: it is claimed already."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.close(os.open(log_path(directory, execution_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def consoles(directory: str) -> list[str]:
    """Executions whose console has not been emptied."""
    with os.scandir(directory) as entries:
        return [name.removesuffix(".log") for entry in entries if (name := entry.name).endswith(".log") and _size(entry)]


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # swept meanwhile
        return 0


class Spool:
    """One follower's view of one execution's spool file."""

    def __init__(self, directory: str, execution_id: str, cursor: str = "", seq: int = 0, line: int = 1) -> None:
        self.execution_id = execution_id
        self._directory = directory
        self._offset = int(cursor or 0)
        self._prefix = b""
        self._telling = Telling(self._offset, seq, line)
        self.hello: Hello | None = None
        self.job: JobProcess | None = None
        self.more = False  # the last read stopped at PORTION, not at the end of the file
        self.gone = False  # truncated or not there: nothing will come, unless somebody starts it now
        self.begun = False  # more than claimed; of a claim alone it is not known yet what comes of it

    @property
    def unknown(self) -> bool:
        """Neither seen before nor there now."""
        return self.hello is None and not self._offset and not is_claimed(self._directory, self.execution_id)

    @property
    def finished(self) -> bool:
        return self._telling.finished

    def read(self) -> list[Told]:
        """What is new: events, then the console, then the end. Empty: nothing worth telling. Raises OSError."""
        data = self._fetch()
        end = data.rfind(b"\n") + 1
        if not end and len(data) > MAX_FRAME:  # no frame is that long: a damaged file, and line numbers will show the gap
            end = len(data)
        offset = self._offset
        for line in data[:end].split(b"\n")[:-1]:
            offset += len(line) + 1
            self._take(line, offset)
        self._offset += end
        return self._telling.batch()

    def record(self) -> list[Told]:
        """The outcome from its own file, for where it did not get into the spool. Empty: there is none."""
        try:
            with open(end_path(self._directory, self.execution_id), "rb") as file:
                end = _end(file.read())
        except (FileNotFoundError, msgspec.DecodeError):
            return []
        self._telling.end(end)
        return self._telling.batch()

    def peek(self) -> None:
        """Only who supervises it and which process it is."""
        try:
            with open(log_path(self._directory, self.execution_id), "rb") as file:
                self._read_head(file.read(_HEAD))
        except FileNotFoundError:
            self.gone = True

    def forbid(self) -> bool:
        """Where it is gone: see to it that it stays so. False: it is there, somebody has started it this very moment."""
        while not forbid(self._directory, self.execution_id):
            try:
                self.gone = os.path.getsize(log_path(self._directory, self.execution_id)) < max(self._offset, 1)
            except FileNotFoundError:  # a claim that was withdrawn again
                continue
            return self.gone
        return True

    def _fetch(self) -> bytes:
        try:
            fd = os.open(log_path(self._directory, self.execution_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.gone, self.more = True, False
            return b""
        try:
            if self.hello is None and self._offset:
                self._read_head(os.pread(fd, _HEAD, 0))
            data = os.pread(fd, PORTION, self._offset)
            if not data:
                self.gone = os.fstat(fd).st_size < max(self._offset, 1)
        finally:
            os.close(fd)
        self.more = len(data) == PORTION
        return data

    def _read_head(self, data: bytes) -> None:
        self._prefix = prefix_of(data[_NONCE].decode("latin-1"))
        self.begun = data.count(b"\n") > 1
        for line in data.split(b"\n", 2)[:2]:
            frame = read_line(self._prefix, line)
            if isinstance(frame, Frame):
                self._introduce(frame)

    def _take(self, line: bytes, offset: int) -> None:
        self._prefix = self._prefix or line[:33] + b" "
        frame = read_line(self._prefix, line)
        if not isinstance(frame, Frame):  # half a line of a disk that was full
            return
        self._introduce(frame)
        self._telling.take(frame, offset)

    def _introduce(self, frame: Frame) -> None:
        if frame.kind == "hello":
            self.hello = _hello(frame.body)
        elif frame.kind == "start":
            self.job = _job(frame.body)

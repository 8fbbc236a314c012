"""Turns frames into what an executor tells: events, chunks of console, the checked end. Pure."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from klassd.workflows.frames import Frame
from klassd.workflows.model.execution import Exit, Finished, Output, Progress, Reached, Ready, Started, Told
from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import LogChunk
from klassd.workflows.order import End

CHUNK = 256 * 1024  # bytes of records in one chunk, about: a row of the store


class _Hello(msgspec.Struct, frozen=True):
    v: str
    born: float | None = None


class _Said(msgspec.Struct, frozen=True):
    """The fields of start, ready, prog and val; each has some."""

    pid: int | None = None
    host: str = ""
    port: int | None = None
    b: dict[str, dict[str, Any]] = {}
    k: str = ""
    p: str = ""


class _Lines(msgspec.Struct, frozen=True):
    l: int  # noqa: E741
    n: int
    m: bool = False
    cut: int | None = None


_hello = msgspec.json.Decoder(_Hello).decode
_said = msgspec.json.Decoder(_Said).decode
_lines = msgspec.json.Decoder(_Lines).decode
_end = msgspec.json.Decoder(End).decode


class Telling:
    """``batch`` gives what the frames since the last one come to. An event is told no later than a chunk whose cursor lies
    behind it, so whoever resumes there has heard it."""

    def __init__(self, cursor: int | str, seq: int, line: int) -> None:
        self._cursor, self._next_seq = cursor, seq  # behind the last log frame
        self._seq = seq
        self._line = line  # the next one's number
        self._version = ""
        self._cut = False
        self._values: dict[str, list[str]] = {}
        self._reached: dict[str, float] = {}
        self._t_us = 0
        self.finished = False
        self._clear()

    def _clear(self) -> None:
        self._events: list[Told] = []
        self._bars: dict[str, dict[str, Any]] = {}
        self._outputs: list[Told] = []
        self._last: Finished | None = None
        self._begin_chunk()

    def _begin_chunk(self) -> None:
        self._records: list[bytes] = []
        self._size = 0
        self._first_seq = -1
        self._first_line = self._line

    def batch(self) -> list[Told]:
        self._end_chunk()
        told = self._events
        if self._reached:
            told.append(Reached(phases=Phases(**self._reached)))
            self._reached = {}
        if self._bars:
            told.append(Progress(bars=self._bars))
        told += self._outputs
        if self._last:
            told.append(self._last)
        self._clear()
        return told

    def take(self, frame: Frame, cursor: int | str) -> None:
        """``cursor``: where to read on behind the frame."""
        seq, kind, self._t_us, body = frame
        self._seq = seq + 1
        if kind in ("out", "log"):
            self._log(frame, cursor)
        elif kind == "end":
            self.end(_end(body))
        elif kind == "hello":
            self._greet(_hello(body))
        elif kind == "begin":
            self._reached["imported"] = self._t_us / 1e6
        elif kind in ("start", "ready", "prog", "val"):
            self._event(kind, _said(body))

    def _greet(self, hello: _Hello) -> None:
        self._version = hello.v
        if hello.born:
            self._reached["process"] = hello.born

    def _event(self, kind: str, said: _Said) -> None:
        at = self._t_us / 1e6
        if kind == "start":
            self._events.append(Started(at=at, version=self._version, pid=said.pid))
        elif kind == "ready":
            self._events.append(Ready(at=at, host=said.host, port=said.port))
        elif kind == "prog":
            self._bars.update(said.b)
        else:
            self._values.setdefault(said.k, []).append(said.p)

    # -- the console --------------------------------------------------------------------------------------------

    def _log(self, frame: Frame, cursor: int | str) -> None:
        lines = _lines(frame.body)
        if lines.l > self._line:
            self._mark_gap(frame.seq, lines.l)
        elif lines.l == self._line == 1 and (lines.n or lines.m):
            self._reached["first_line"] = self._t_us / 1e6
        self._add(frame.seq, frame.body)
        self._cut = self._cut or lines.cut is not None
        self._line = max(self._line, lines.l + lines.n + lines.m)  # a line that goes on has its number already
        self._cursor, self._next_seq = cursor, frame.seq + 1
        if self._size >= CHUNK:
            self._end_chunk()

    def _mark_gap(self, seq: int, until: int) -> None:
        self._add(seq, b'{"l":%d,"n":%d,"gap":true}' % (self._line, until - self._line))
        self._line = until

    def _add(self, seq: int, body: bytes) -> None:
        if not self._records:
            self._first_seq = seq
        self._records.append(b"[%d,%b]" % (self._t_us, body))
        self._size += len(body) + 20

    def _end_chunk(self) -> None:
        if self._records:
            chunk = LogChunk(
                first_seq=self._first_seq,
                first_line=self._first_line,
                lines=self._line - self._first_line,
                data=b"[" + b",".join(self._records) + b"]",
                cursor=str(self._cursor),
                next_seq=self._next_seq,
            )
            self._outputs.append(Output(chunk=chunk))
        self._begin_chunk()

    # -- the end ------------------------------------------------------------------------------------------------

    def end(self, end: End) -> None:
        if end.lines >= self._line and not self._cut:
            self._mark_gap(self._seq, end.lines + 1)
        if end.returned_at:
            self._reached["returned"] = end.returned_at
        outputs = {name: "".join(pieces).encode() for name, pieces in self._values.items()}
        damaged = [name for name, (size, crc) in end.outputs.items() if not _intact(outputs.get(name), size, crc)]
        seen = Exit()
        if damaged:
            names = ", ".join(repr(name) if name else "the return value" for name in damaged)
            end = msgspec.structs.replace(end, stored=False)
            seen = Exit(message=f"{names}: not whole in what was left of its console")
        wanted = {name: outputs[name] for name in end.outputs if name not in damaged}
        self._last = Finished(end=end, exit=seen, outputs=wanted, at=end.finished_at or self._t_us / 1e6)
        self.finished = True


def _intact(output: bytes | None, size: int, crc: str) -> bool:
    return output is not None and len(output) == size and zlib.crc32(output) == int(crc, 16)

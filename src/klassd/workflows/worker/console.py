"""Bytes and records of a job to numbered log frames: lines, pieces of lines, markers, the limit.

Pure bookkeeping; ``emit(kind, body)`` is given. Order in is order out.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from klassd.workflows.frames import MAX_BODY, MAX_LINE

LIMIT = 100 * 1024 * 1024  # bytes of one execution's console; the rest is counted, not kept
PIECE = MAX_BODY - 512  # bytes of text that surely fit a frame as long as they need no escapes

Emit = Callable[[str, bytes], None]


class _Stream:
    __slots__ = ("length", "number", "open", "rest", "since")

    def __init__(self, number: int) -> None:
        self.number = number  # file descriptor: 1 or 2
        self.rest = b""  # an unfinished line that was not given out yet
        self.since = 0.0  # when its first byte came
        self.open = False  # a part of the unfinished line was given out
        self.length = 0  # bytes of that part


class Console:
    def __init__(self, emit: Emit, limit: int = LIMIT) -> None:
        self._emit, self._limit = emit, limit
        self._streams = {1: _Stream(1), 2: _Stream(2)}
        self._next = 1  # number of the next line
        self._bytes = 0
        self.cut = 0  # bytes left out

    @property
    def lines(self) -> int:
        """Lines given out so far."""
        return self._next - 1

    @property
    def unfinished_since(self) -> float | None:
        """Since when the oldest unfinished line waits to be given out."""
        waiting = [stream.since for stream in self._streams.values() if stream.rest]
        return min(waiting, default=None)

    def raw(self, fd: int, data: bytes, now: float) -> None:
        """Bytes written to a file descriptor."""
        stream = self._streams[fd]
        if not stream.rest:
            stream.since = now
        data = stream.rest + data
        stream.rest = b""
        if stream.open:
            data = self._go_on(stream, data)
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            self._lines(stream, whole + newline)
        stream.rest = rest
        while len(stream.rest) >= PIECE:
            self._part(stream, PIECE)

    def record(self, lines: int, rest: bytes, more: bool) -> None:
        """A record of ctx.log or logging: ``rest`` is its JSON after the numbers, ``"v":20,"x":"..."}``."""
        self.settle()
        if self._over(len(rest)):
            return
        self._emit("log", b'{"l":%d,"n":%d,%s' % (self._next, lines, rest))
        self._next += lines

    def settle(self) -> None:
        """End every unfinished line: what comes next stands on a line of its own."""
        for stream in self._streams.values():
            if stream.rest:
                self._part(stream, len(stream.rest), whole=True)
            elif stream.open:
                self._end_line(stream)

    def give_out(self, now: float, older: float) -> None:
        """Show unfinished lines that wait for longer than ``older`` seconds: a prompt, a bar, a slow line."""
        for stream in self._streams.values():
            if stream.rest and now - stream.since >= older:
                self._part(stream, len(stream.rest))
                stream.since = now

    def close(self) -> None:
        self.settle()
        if self.cut:
            self._emit("out", b'{"l":%d,"n":0,"cut":%d}' % (self._next, self.cut))

    # -- lines --------------------------------------------------------------------------------------------------

    def _lines(self, stream: _Stream, data: bytes) -> None:
        """Whole lines, as many a frame as fit."""
        start = 0
        while start < len(data):
            end = len(data) if len(data) - start <= PIECE else data.rfind(b"\n", start, start + PIECE) + 1
            if end <= start:  # the first line alone is longer than a frame
                end = data.index(b"\n", start) + 1
                self._long_line(stream, data[start:end])
            else:
                self._give_lines(stream, data[start:end])
            start = end

    def _give_lines(self, stream: _Stream, data: bytes) -> None:
        self._close_other(stream)
        if self._over(len(data)):
            return
        lines = data.count(b"\n")
        text = json.dumps(data.decode("utf-8", "backslashreplace")).encode("ascii")
        if len(text) > PIECE:
            self._halve(stream, data, lines)
            return
        self._emit("out", b'{"l":%d,"n":%d,"s":%d,"x":%s}' % (self._next, lines, stream.number, text))
        self._next += lines

    def _halve(self, stream: _Stream, data: bytes, lines: int) -> None:
        """Escapes made it too long for a frame: two frames, or pieces of the one line."""
        self._bytes -= len(data)
        if lines == 1:
            self._long_line(stream, data)
            return
        middle = data.find(b"\n", len(data) // 2) + 1
        if middle in (0, len(data)):
            middle = data.rfind(b"\n", 0, len(data) - 1) + 1
        self._give_lines(stream, data[:middle])
        self._give_lines(stream, data[middle:])

    def _long_line(self, stream: _Stream, line: bytes) -> None:
        stream.rest = line[:-1]
        while len(stream.rest) > PIECE // 6:
            self._part(stream, PIECE)
        self._part(stream, len(stream.rest), whole=True)

    # -- parts of a line ----------------------------------------------------------------------------------------

    def _go_on(self, stream: _Stream, data: bytes) -> bytes:
        """The rest of a line of which a part was given out; what follows it is returned."""
        line, newline, after = data.partition(b"\n")
        if not newline:
            return data
        stream.rest = line
        while len(stream.rest) > PIECE // 6:
            self._part(stream, PIECE)
        self._part(stream, len(stream.rest), whole=True)
        return after

    def _part(self, stream: _Stream, size: int, whole: bool = False) -> None:
        """Give out up to ``size`` bytes of the unfinished line; ``whole``: the line ends with them."""
        piece, rest = _cut(stream.rest, size, whole)
        text = json.dumps(piece.decode("utf-8", "backslashreplace")).encode("ascii")
        if len(text) > PIECE:  # escapes: up to six characters for a byte
            self._part(stream, len(piece) // 2)
            self._part(stream, len(stream.rest) - len(rest), whole)
        elif piece or whole:
            stream.rest = rest
            self._close_other(stream)
            self._emit_part(stream, piece, text, whole)

    def _emit_part(self, stream: _Stream, piece: bytes, text: bytes, whole: bool) -> None:
        if not self._over(len(piece)):
            more = b"" if whole else b',"m":true'
            self._emit("out", b'{"l":%d,"n":%d,"s":%d,"x":%s%s}' % (self._next, whole, stream.number, text, more))
            self._next += whole
            stream.open = not whole
        stream.length = 0 if whole else stream.length + len(piece)
        if stream.length >= MAX_LINE:
            self._end_line(stream)

    def _close_other(self, stream: _Stream) -> None:
        for other in self._streams.values():
            if other is not stream and other.open:
                self._end_line(other)

    def _end_line(self, stream: _Stream) -> None:
        """End a line of which parts were given out; if it goes on, that is a new line."""
        if stream.open:
            self._emit("out", b'{"l":%d,"n":1,"s":%d,"x":"\\n"}' % (self._next, stream.number))
            self._next += 1
        stream.open, stream.length = False, 0

    def _over(self, size: int) -> bool:
        """Whether the limit leaves no room for so many bytes; they are counted as left out then."""
        if self.cut or self._bytes + size > self._limit:
            self.cut += size
            return True
        self._bytes += size
        return False


def _cut(data: bytes, size: int, whole: bool) -> tuple[bytes, bytes]:
    """At most ``size`` bytes from the front, never inside a UTF-8 character unless the line is whole."""
    if whole and size >= len(data):
        return data, b""
    end = min(size, len(data))
    for back in range(1, min(4, end + 1)):
        lead = data[end - back]
        if lead & 0xC0 != 0x80:  # the last character's first byte
            length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
            if length > back and end - back > 0:
                return data[: end - back], data[end - back :]
            break
    return data[:end], data[end:]

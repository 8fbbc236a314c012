"""Bytes and records of a job to numbered log frames: lines, pieces of lines, the limit.

Pure bookkeeping: ``emit(kind, body)`` and the time are given. What goes in is what comes out, in order; see ``model.logs`` for
the records. A line is numbered when the first of it is given out, so that a line in pieces keeps its number while other lines
come in between.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring_ascii

import msgspec

from klassd.workflows.frames import MAX_BODY, MAX_LINE

LIMIT = 100 * 1024 * 1024  # bytes of one execution's console; what is more is counted, not kept
PIECE = 12 * 1024  # bytes of a record: it fits a frame with the escapes that text mostly needs
_TEXT = MAX_BODY - 128  # bytes of JSON a record's text may have

Emit = Callable[[str, bytes], None]
_encode = msgspec.json.Encoder().encode


class _Stream:
    __slots__ = ("number", "open", "rest", "sent", "since")

    def __init__(self, number: int) -> None:
        self.number = number  # file descriptor: 1 or 2
        self.rest = b""  # of an unfinished line, not given out yet
        self.since: float | None = None  # when the oldest byte of it came that could be given out
        self.open = 0  # the number of an unfinished line of which a piece was given out
        self.sent = 0  # bytes of those pieces


class Console:
    """``raw`` for bytes of a file descriptor, ``record`` for records, ``give_out`` now and then, ``close`` at the end."""

    def __init__(self, emit: Emit, limit: int = LIMIT) -> None:
        self._emit, self._left = emit, limit
        self._streams = (_Stream(1), _Stream(2))
        self._record_open = 0  # the number of a record's line that goes on in the next record
        self.lines = 0  # numbers given so far
        self.cut = 0  # bytes left out

    @property
    def unfinished_since(self) -> float | None:
        """Since when the oldest unfinished line waits to be given out."""
        out, err = self._streams[0].since, self._streams[1].since
        return err if out is None else out if err is None else min(out, err)

    def raw(self, fd: int, data: bytes, now: float) -> None:
        """Bytes written to a file descriptor."""
        stream = self._streams[fd - 1]
        data = self._within_limit(data)
        if not data:
            return
        if stream.rest:
            data, stream.rest = stream.rest + data, b""
        end = data.rfind(b"\n") + 1
        if end:
            stream.since = None
            self._whole_lines(stream, data[:end])
        self._keep(stream, data[end:], now)

    def record(self, lines: int, rest: bytes, more: bool) -> None:
        """A record of ctx.log or logging in which so many lines end: ``rest`` is its JSON after the numbers,
        ``"v":20,"x":"..."}``. ``more``: its last line goes on in the next one."""
        if len(rest) > self._left:  # it cannot be parted
            self.cut, self._left = self.cut + len(rest), 0
            return
        self._left -= len(rest)
        self.settle()
        number = self._record_open or self.lines + 1
        self._emit("log", b'{"l":%d,"n":%d,%b' % (number, lines, rest))
        self.lines = max(self.lines, number + lines - (not more))
        self._record_open = number + lines if more else 0

    def settle(self) -> None:
        """Give out what waits, for something else comes next."""
        for stream in self._streams:
            if stream.rest:
                self._give_rest(stream)

    def give_out(self, now: float, older: float) -> None:
        """Show unfinished lines that wait for longer than ``older`` seconds: a prompt, a bar, a slow line."""
        for stream in self._streams:
            if stream.since is not None and now >= stream.since + older:
                self._give_rest(stream)

    def close(self) -> None:
        for stream in self._streams:
            if stream.rest or stream.open:
                self._whole_lines(stream, stream.rest + b"\n")
                stream.rest, stream.since = b"", None
        if self.cut:
            self._emit("out", b'{"l":%d,"n":0,"cut":%d}' % (self.lines + 1, self.cut))

    def _within_limit(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left >= 0:
            return data
        over, self._left = min(len(data), -self._left), 0
        self.cut += over
        return data[: len(data) - over]

    # -- lines and pieces of lines ------------------------------------------------------------------------------

    def _whole_lines(self, stream: _Stream, data: bytes) -> None:
        """As many lines a frame as fit. A line that was begun before gets a record of its own: the lines after it have
        other numbers than the next ones where something came in between."""
        start, size = 0, len(data)
        while start < size:
            if stream.open:
                stop = data.find(b"\n", start) + 1
                fits = stop - start <= PIECE and stop - start - 1 <= MAX_LINE - stream.sent
            else:
                stop = size if size - start <= PIECE else data.rfind(b"\n", start, start + PIECE) + 1
                fits = stop > start
            if fits:
                self._say(stream, data[start:stop])
                start = stop
            else:
                end = min(start + PIECE, data.find(b"\n", start))
                start += self._piece(stream, data[start:end])

    def _keep(self, stream: _Stream, rest: bytes, now: float) -> None:
        """An unfinished line: what fills a frame goes out at once, the rest waits for its end a little."""
        while len(rest) >= PIECE:
            rest = rest[self._piece(stream, rest[:PIECE]) :]
        if not rest:
            stream.since = None
        elif stream.since is None and _whole(rest):
            stream.since = now
        stream.rest = rest

    def _give_rest(self, stream: _Stream) -> None:
        """All of it but a character that is not complete yet."""
        rest, stream.since = stream.rest, None
        start, end = 0, _whole(rest)
        while start < end:
            start += self._piece(stream, rest[start:end])
        stream.rest = rest[start:]

    def _piece(self, stream: _Stream, data: bytes) -> int:
        """Give out the beginning of ``data``, bytes of one line, as a piece of it; how many bytes that were."""
        room = MAX_LINE - stream.sent
        size = _boundary(data, room) if room < len(data) else _whole(data) or len(data)
        if not size:  # the line has its full length: what follows is a new one
            self._say(stream, b"\n")
            return 0
        self._say(stream, data[:size])
        return size

    def _say(self, stream: _Stream, raw: bytes) -> None:
        """Whole lines, or a piece of one that goes on. Two records where escapes make it too long for a frame."""
        text = _json(raw)
        if len(text) > _TEXT and len(raw) > 1:
            middle = _middle(raw)
            self._say(stream, raw[:middle])
            self._say(stream, raw[middle:])
            return
        number = stream.open or self.lines + 1
        ended = raw.count(b"\n")  # none: a piece
        more = b"" if ended else b',"m":true'
        self._emit("out", b'{"l":%d,"n":%d,"s":%d,"x":%b%b}' % (number, ended, stream.number, text, more))
        self.lines = max(self.lines, number + ended - 1, number)
        stream.open, stream.sent = (0, 0) if ended else (number, stream.sent + len(raw))


def _json(raw: bytes) -> bytes:
    """As ASCII JSON text. What is no UTF-8 is shown as escapes."""
    if raw.isascii():
        return _encode(raw.decode("ascii"))  # seven times as quick as the other way
    return encode_basestring_ascii(raw.decode("utf-8", "backslashreplace")).encode("ascii")


def _middle(raw: bytes) -> int:
    """Where to part it: at the end of a line where there is one."""
    half = len(raw) // 2
    return raw.rfind(b"\n", 0, half) + 1 or raw.find(b"\n", half, len(raw) - 1) + 1 or _boundary(raw, half) or half


def _boundary(raw: bytes, at: int) -> int:
    """``at``, or up to 3 less so that no UTF-8 character is cut there."""
    for back in range(min(4, at + 1)):
        if at - back >= len(raw) or raw[at - back] & 0xC0 != 0x80:
            return at - back
    return at


def _whole(raw: bytes) -> int:
    """The length without a UTF-8 character at the end that lacks its last bytes."""
    for back in range(1, min(4, len(raw) + 1)):
        byte = raw[-back]
        if byte & 0xC0 == 0xC0:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
            return len(raw) - back if needed > back else len(raw)
        if byte & 0x80 == 0:
            break
    return len(raw)

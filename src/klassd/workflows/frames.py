"""What a worker can say, one frame a line, and how to read it back.

    \\x1e<nonce> <seq> <kind> <t_us> <len> <crc32> <json>\\n

ASCII only and at most ``MAX_FRAME`` bytes, so that a container runtime that splits lines at 16 KiB never cuts one. ``nonce``
is the order's 32 hexadecimal digits: a line without it is plain output of something else, whatever it looks like.
``seq`` counts from 0 without holes; ``len`` and ``crc32`` (hexadecimal) are of the JSON.

Kinds, in the order a worker says them:

    hello  {"v": version, "x": execution id, "boot": ..., "pid": ..., "start": ..., "sock": ...}   the supervisor; once, first
           "born" besides, where it was started for this execution: when, in seconds since the epoch
    start  {"pid": ..., "start": ...}                                  the job's process exists
    begin  {}                                                          its code is imported; only where a fork did not have it
    out    raw text of fd 1 or 2; log: a record of ctx.log or logging  (their JSON is what model.logs stores)
    prog   {"b": {name: {"at":, "of":, "text":}}}                      the latest of each bar, at most ten frames a second
    ready  {"host": ..., "port": ...}                                  a service can be used, there; others say {}
    beat   {}                                                          every 10 s, so that silence means something
    val    {"k": name, "p": piece of JSON, "m": more}                  output values, after all out and log frames
    end    order.End                                                   once, last
"""

from __future__ import annotations

import json
import zlib
from typing import NamedTuple

MAX_FRAME = 15 * 1024
HEADER_ROOM = 128  # nonce 32, seq and t_us at most 20 each, len 5, crc 8, kind 5, separators
MAX_BODY = MAX_FRAME - HEADER_ROOM
MAX_LINE = 256 * 1024  # a longer line of output goes on as a new one
PROTOCOL = 1
RECORD = 0x1E
_dumps = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make an encoder for each value


class Frame(NamedTuple):
    seq: int
    kind: str
    t_us: int
    body: bytes  # JSON, ASCII


class Plain(NamedTuple):
    """A line that is not a frame: a runtime's noise, or an image that is not ours. Without its newline."""

    text: bytes


def dumps(value: object) -> bytes:
    """Compact ASCII JSON."""
    return _dumps(value).encode("ascii")


def encode(nonce: str, seq: int, kind: str, t_us: int, body: bytes) -> bytes:
    """One frame as one line. ``body`` is ASCII JSON of at most ``MAX_BODY`` bytes."""
    if len(body) > MAX_BODY:
        raise ValueError(f"frame body of {len(body)} bytes, at most {MAX_BODY}: cut it before")
    return b"\x1e%s %d %s %d %d %08x %s\n" % (
        nonce.encode("ascii"), seq, kind.encode("ascii"), t_us, len(body), zlib.crc32(body), body,
    )  # fmt: skip


class Decoder:
    """Bytes in any portions to frames and plain lines. Bounded: a line longer than a frame is given in pieces."""

    def __init__(self, nonce: str) -> None:
        self._prefix = prefix_of(nonce)
        self._rest = b""
        self.consumed = 0  # bytes of input that the frames and lines given so far stood in

    def feed(self, data: bytes) -> list[Frame | Plain]:
        """The frames and plain lines that ``data`` completes."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        given = [self._read(line) for line in lines]
        self.consumed += sum(map(len, lines)) + len(lines)
        while len(self._rest) > MAX_FRAME:  # no frame is that long: it can only be plain
            given.append(Plain(self._rest[:MAX_FRAME]))
            self._rest = self._rest[MAX_FRAME:]
            self.consumed += MAX_FRAME
        return given

    def finish(self) -> list[Frame | Plain]:
        """What stood after the last newline."""
        rest, self._rest = self._rest, b""
        self.consumed += len(rest)
        return [self._read(rest)] if rest else []

    def _read(self, line: bytes) -> Frame | Plain:
        return read_line(self._prefix, line)


def prefix_of(nonce: str) -> bytes:
    """What every frame of an order begins with."""
    return b"\x1e" + nonce.encode("ascii") + b" "


def read_line(prefix: bytes, line: bytes) -> Frame | Plain:
    """One line without its newline. For readers that count the bytes themselves."""
    if not line.startswith(prefix):
        return Plain(line)
    parts = line[len(prefix) :].split(b" ", 5)
    if len(parts) != 6:
        return Plain(line)
    seq, kind, t_us, length, crc, body = parts
    try:
        if int(length) != len(body) or int(crc, 16) != zlib.crc32(body):
            return Plain(line)
        return Frame(int(seq), kind.decode("ascii"), int(t_us), body)
    except ValueError:
        return Plain(line)

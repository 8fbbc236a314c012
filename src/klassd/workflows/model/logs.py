"""The stored form of a console, and its lines.

A chunk's data is a JSON array of records ``[t_us, body]``, ``body`` being the frame's own JSON:

    {"l": 12, "n": 3, "s": 1, "x": "three\\nlines\\nof text\\n"}           raw text of file descriptor 1 or 2
    {"l": 15, "n": 1, "v": 30, "g": "my.logger", "x": "message"}           ctx.log (no "g") or logging; "v" is logging's level
    {"l": 16, "n": 0, "s": 1, "x": "half a li", "m": true}                 "m": the line goes on in the stream's next record,
    {"l": 16, "n": 1, "s": 1, "x": "ne\\n"}                                which has the same "l"; "n" counts lines ending here
    {"l": 17, "n": 14, "gap": true}                                        14 lines were produced and could not be had
    {"l": 31, "n": 0, "cut": 1048576}                                      the console's limit: so many bytes were left out

Lines are numbered from 1 by their producer, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a console."""

    number: int
    time: float  # seconds since the epoch
    text: str
    stream: str = "log"  # "stdout", "stderr" or "log"
    level: int = 0  # logging's level, 0 for raw output
    logger: str = ""
    missing: int = 0  # a marker instead of a line: so many lines are missing from here
    cut_bytes: int = 0  # a marker: the console's limit was reached and so many bytes left out


_STREAMS = {1: "stdout", 2: "stderr"}


def lines_of(chunks: Iterable[bytes]) -> Iterator[LogLine]:
    """The lines of consecutive chunks. A line left open at the end of the chunks is given as it stands."""
    held: dict[int, tuple[int, float, str]] = {}  # stream -> number, time, text so far of an unfinished line
    for data in chunks:
        for t_us, body in msgspec.json.decode(data):
            yield from _record_lines(t_us / 1e6, body, held)
    for stream, (number, time, text) in sorted(held.items(), key=lambda item: item[1][0]):
        yield LogLine(number=number, time=time, text=text, stream=_STREAMS.get(stream, "log"))


def _record_lines(time: float, body: dict[str, Any], held: dict[int, tuple[int, float, str]]) -> Iterator[LogLine]:
    number = body["l"]
    if body.get("gap"):
        yield LogLine(number=number, time=time, text="", missing=body["n"])
        return
    if "cut" in body:
        yield LogLine(number=number, time=time, text="", cut_bytes=body["cut"])
        return
    stream = body.get("s", 0)
    text: str = body["x"]
    if stream in held:
        began, at, before = held.pop(stream)
        if began == number:
            time, text = at, before + text
        else:  # its end could not be had
            yield LogLine(number=began, time=at, text=before, stream=_STREAMS.get(stream, "log"))
    if body.get("m"):
        head, newline, tail = text.rpartition("\n")
        for line in head.split("\n") if newline else ():
            yield LogLine(number=number, time=time, text=line, stream=_STREAMS.get(stream, "log"))
            number += 1
        held[stream] = (number, time, tail)
        return
    for line in text.removesuffix("\n").split("\n"):
        yield LogLine(
            number=number,
            time=time,
            text=line,
            stream=_STREAMS.get(stream, "log"),
            level=body.get("v", 0),
            logger=body.get("g", ""),
        )
        number += 1

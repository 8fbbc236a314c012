"""The console of an image, which is lines and nothing else: whatever stands in it, it is no frame. Pure.

Kubernetes gives it from any second on. What was heard before is known by its time, and how many lines of that very time were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from klassd.workflows.executors.kubernetes.console import microseconds
from klassd.workflows.frames import Frame
from klassd.workflows.worker.console import Console as Lines

_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:\d\d)")
_PARTS = (16 * 1024, 8 * 1024)  # bytes that containerd, and CRI-O, keep of a line at once
_TIMED = re.compile(_TIME.pattern + b" ")
Key = tuple[str, str]  # seconds, and their fraction: in the order of time


class PlainConsole:
    """``cursor``: "TIME#COUNT" behind the last line heard, or ""; ``seq`` and ``line``: of the next frame and line."""

    def __init__(self, cursor: str, seq: int, line: int) -> None:
        time, _, count = cursor.partition("#")
        self.next = seq
        self._time, self._last = time, _key(time.encode())
        self._heard = int(count or 0)  # lines of that very time
        self._again = self._heard  # of these, those that have not come again yet
        self._behind = bool(time)  # what comes may have been heard before
        self._rest = b""
        self._frames: list[Frame] = []
        self._lines = Lines(self._emit)
        self._lines.lines = line - 1

    @property
    def lines(self) -> int:
        return self._lines.lines

    def reopen(self) -> None:
        """It is read anew, from the second of the last line heard."""
        self._rest, self._again, self._behind = b"", self._heard, bool(self._time)

    def feed(self, data: bytes) -> Iterator[tuple[Frame, str]]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._line(line)

    def plain(self) -> list[tuple[Frame, str]]:
        """What is left when nothing more comes."""
        rest, self._rest = self._rest, b""
        left = list(self._line(rest)) if rest else []
        self._lines.close()
        return left + self._given()

    def _line(self, line: bytes) -> Iterator[tuple[Frame, str]]:
        time, _, text = line.partition(b" ")
        key = _key(time)
        if key is None or self._was_heard(key):  # without a time it is a word of the kubelet's own
            return
        self._heard = self._heard + 1 if key == self._last else 1
        self._time, self._last = time.decode("ascii"), key
        self._lines.raw(1, _joined(text) + b"\n", 0.0)
        yield from self._given()

    def _was_heard(self, key: Key) -> bool:
        if not self._behind or self._last is None:
            return False
        if key == self._last and self._again:
            self._again -= 1
            return True
        self._behind = key < self._last
        return self._behind

    def _emit(self, kind: str, body: bytes) -> None:
        self._frames.append(Frame(self.next, kind, microseconds(self._time), body))
        self.next += 1

    def _given(self) -> list[tuple[Frame, str]]:
        given, self._frames = self._frames, []
        return [(frame, f"{self._time}#{self._heard}") for frame in given]


def _joined(text: bytes) -> bytes:
    """Without the times that older kubelets (1.20) put before every part of a long line."""
    for size in _PARTS:
        parts, rest = [text[:size]], text[size:]
        while found := _TIMED.match(rest):
            rest = rest[found.end() :]
            parts.append(rest[:size])
            rest = rest[size:]
        if len(parts) > 1:
            return b"".join([*parts, rest])
    return text


def _key(time: bytes) -> Key | None:
    found = _TIME.fullmatch(time)
    return (found[1].decode(), (found[2] or b"").decode().ljust(9, "0")) if found else None

"""A pod's console as the API gives it: lines behind their times, from any second on, cut anywhere. Pure.

What was heard before is known by its sequence number, so a console may be read again from whatever time.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator

from klassd.workflows.frames import MAX_LINE, Frame, dumps, prefix_of, read_line

PLAIN = 200  # lines kept of a console that may turn out to have no frame at all


class Console:
    """``seq``: the next frame that was not heard. ``feed`` gives the new frames, each with the time to read on from."""

    def __init__(self, nonce: str, seq: int) -> None:
        self._prefix = prefix_of(nonce)
        self._rest = b""
        self._plain: list[tuple[str, bytes]] = []
        self._framed = seq > 0
        self.next = seq

    def feed(self, data: bytes) -> Iterator[tuple[Frame, str]]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[:MAX_LINE]
        for line in lines:
            time, _, text = line.partition(b" ")
            frame = read_line(self._prefix, text)
            if isinstance(frame, Frame):
                self._framed = True
                if frame.seq >= self.next:
                    self.next = frame.seq + 1
                    yield frame, time.decode("ascii", "replace")
            elif not self._framed and len(self._plain) < PLAIN:
                self._plain.append((time.decode("ascii", "replace"), text))

    def reopen(self) -> None:
        """It is read anew, from a line's beginning."""
        self._rest = b""
        self._plain = []

    def plain(self) -> list[tuple[Frame, str]]:
        """The whole of a console that no worker of ours has written to, as frames; nothing where one has."""
        if self._framed:
            return []
        return [(_framed(number, time, text), time) for number, (time, text) in enumerate(self._plain)]


def _framed(number: int, time: str, text: bytes) -> Frame:
    body = {"l": number + 1, "n": 1, "s": 1, "x": text.decode("utf-8", "backslashreplace") + "\n"}
    return Frame(number, "out", microseconds(time), dumps(body))


def microseconds(time: str) -> int:
    """Of ``2026-01-02T03:04:05.678901234Z``; 0 where it is something else."""
    seconds, _, fraction = time.rstrip("Z").partition(".")
    try:
        parts = [int(part) for part in seconds.replace("T", "-").replace(":", "-").split("-")]
        return calendar.timegm((*parts, 0, 0, 0)) * 1_000_000 + int(fraction[:6].ljust(6, "0") or 0)
    except ValueError:
        return 0

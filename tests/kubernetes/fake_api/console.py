"""What one container has written, as the API gives it: from a second on, followed, cut to a size."""

from __future__ import annotations

import asyncio
import calendar
import time
from collections.abc import AsyncIterator, Callable

from fake_api.clock import fine

PORTION = 64 * 1024


class Console:
    """``clock``: nanoseconds of the node's clock."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._lines: list[tuple[int, bytes]] = []
        self._first = 0  # number of the first line that is still there
        self._rest = b""
        self._news = asyncio.Event()
        self._ended = False
        self.stalled = False  # followers hear nothing more, and no end
        self.caught_up = False  # a follower has heard all there is
        self._deafened = 0  # times that those who followed were left behind
        self.cut_after: int | None = None  # bytes after which the next readers are cut off, as if it were the end

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        now = self._clock()
        self._lines += [(now, line) for line in lines]
        self.caught_up = False
        self._tell()

    def end(self) -> None:
        if self._rest:
            self.write(b"\n")
        self._ended = True
        self._tell()

    def rotate(self, keep: int = 0) -> int:
        """The node throws away all but the last lines; how many those were."""
        dropped = max(0, len(self._lines) - keep)
        del self._lines[:dropped]
        self._first += dropped
        return dropped

    def leave_followers_behind(self) -> None:
        """Who follows now hears nothing more until the end. Kubelets before 1.27 do so now and then when they rotate a file
        that is being written to (kubernetes/kubernetes#115701)."""
        self._deafened += 1

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def read(
        self, *, follow: bool, since: str = "", times: bool = False, limit: int | None = None, tail: int | None = None
    ) -> AsyncIterator[bytes]:
        limits = [each for each in (limit, self.cut_after) if each is not None]
        left = min(limits) if limits else None
        async for portion in self._read(follow, since, times, tail):
            yield portion if left is None else portion[:left]
            if left is not None:
                left -= len(portion)
                if left <= 0:
                    return

    async def _read(self, follow: bool, since: str, times: bool, tail: int | None) -> AsyncIterator[bytes]:
        at = _nanoseconds(since)
        number = self._first if tail is None else self._first + max(0, len(self._lines) - tail)
        opened = self._deafened
        while True:
            news = self._news
            number = max(number, self._first)
            while number < self._first + len(self._lines):
                portion, number = self._portion(number, at, times)
                yield portion
                number = max(number, self._first)
            if not follow or (self._ended and not self.stalled):
                return
            self.caught_up = True
            await news.wait()
            while self.stalled or (opened != self._deafened and not self._ended):
                await self._news.wait()
            if opened != self._deafened:
                return

    def _portion(self, number: int, at: int, times: bool) -> tuple[bytes, int]:
        found, size = [], 0
        for when, line in self._lines[number - self._first :]:
            number += 1
            if when >= at:
                found.append(fine(when).encode() + b" " + line + b"\n" if times else line + b"\n")
                size += len(found[-1])
            if size > PORTION:
                break
        return b"".join(found), number


def _nanoseconds(since: str) -> int:
    """As a kubelet gets it: whole seconds."""
    if not since:
        return 0
    return calendar.timegm(time.strptime(since[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000_000

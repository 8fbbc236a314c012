"""Puts together what a connection brings in small portions, so that nobody works, or writes, for each of them."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple


class Lull(NamedTuple):
    """Silence that ends a reading: so many seconds, once it has brought so many bytes."""

    after: float
    seconds: float


NEVER = Lull(math.inf, math.inf)


async def gathered(
    source: AsyncGenerator[bytes, None], spacing: float, most: int, lull: Lull = NEVER
) -> AsyncGenerator[bytes, None]:
    """The same bytes: the first at once, then what came within ``spacing`` seconds, or as soon as it is ``most`` bytes.

    ``source`` is held back while about so much is waiting. What it raises is raised after all that it brought. It is left
    at a ``lull``.
    """
    waiting = _Waiting(most)
    reading = asyncio.create_task(waiting.fill(source), name="console")
    brought = 0
    try:
        while data := await waiting.take(lull.seconds if brought >= lull.after else None):
            brought += len(data)
            yield data
            await waiting.full_within(spacing)
        if waiting.over:
            await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Waiting:
    def __init__(self, most: int) -> None:
        self._most = most
        self._data = bytearray()
        self.over = False
        self._some, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fill(self, source: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(source):
                async for portion in source:
                    await self._put(portion)
        finally:
            self.over = True
            self._some.set()
            self._full.set()

    async def _put(self, portion: bytes) -> None:
        self._data += portion
        self._some.set()
        if len(self._data) >= self._most:
            self._full.set()
            self._room.clear()
            await self._room.wait()

    async def take(self, within: float | None) -> bytes:
        """All there is, once there is something; nothing when it is over, or when nothing came ``within`` so many seconds."""
        await _within(within, self._some)
        data = bytes(self._data)
        self._data.clear()
        if not self.over:
            self._some.clear()
            self._full.clear()
        self._room.set()
        return data

    async def full_within(self, seconds: float) -> None:
        await _within(seconds, self._full)


async def _within(seconds: float | None, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()

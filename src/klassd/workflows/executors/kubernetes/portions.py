"""Puts together what a connection brings in small portions, so that nobody works, or writes, for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing


async def gathered(source: AsyncGenerator[bytes, None], spacing: float, most: int) -> AsyncGenerator[bytes, None]:
    """The same bytes: the first at once, then what came within ``spacing`` seconds, or as soon as it is ``most`` bytes.

    ``source`` is held back while about so much is waiting. What it raises is raised after all that it brought.
    """
    waiting = _Waiting(most)
    reading = asyncio.create_task(waiting.fill(source), name="console")
    try:
        while data := await waiting.take():
            yield data
            await waiting.full_within(spacing)
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Waiting:
    def __init__(self, most: int) -> None:
        self._most = most
        self._data = bytearray()
        self._over = False
        self._some, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fill(self, source: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(source):
                async for portion in source:
                    await self._put(portion)
        finally:
            self._over = True
            self._some.set()
            self._full.set()

    async def _put(self, portion: bytes) -> None:
        self._data += portion
        self._some.set()
        if len(self._data) >= self._most:
            self._full.set()
            self._room.clear()
            await self._room.wait()

    async def take(self) -> bytes:
        """All there is, once there is something; nothing when it is over."""
        await self._some.wait()
        data = bytes(self._data)
        self._data.clear()
        if not self._over:
            self._some.clear()
            self._full.clear()
        self._room.set()
        return data

    async def full_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._full.wait()
        except TimeoutError:
            return

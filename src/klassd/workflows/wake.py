"""Waiting for a hint of the store, but never longer than asked: hints may be late, merged or missing."""

from __future__ import annotations

import asyncio

from klassd.workflows.ports import Store


class Wake:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._event = asyncio.Event()

    async def listen(self) -> None:
        """Run as a task of its own beside the waiting."""
        async for _ in self._store.watch():
            self._event.set()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Until the next hint since ``clear``, or for ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass

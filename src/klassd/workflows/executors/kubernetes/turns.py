"""Turns for what may happen only so often: in the order of asking, whoever asks."""

from __future__ import annotations

import asyncio


class Turns:
    def __init__(self, spacing: float) -> None:
        self._spacing = spacing
        self._next = 0.0

    def take(self) -> float:
        """Seconds until it is one's turn. A turn that is not used is lost."""
        now = asyncio.get_running_loop().time()
        turn = max(self._next, now)
        self._next = turn + self._spacing
        return turn - now

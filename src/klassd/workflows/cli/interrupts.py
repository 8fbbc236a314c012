"""What the person at the keyboard, or the system, says to a command that runs: counted, for it to end in order."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Ctrl+C, SIGTERM and the loss of the terminal, counted instead of raised while inside ``with``. Under ``nohup`` the
    terminal may go."""

    def __init__(self) -> None:
        self.count = 0
        self._pressed = asyncio.Event()
        self._terminals: list[int] = []
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._press)
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        self._before = signal.getsignal(signal.SIGHUP)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, lambda *_: self._hung_up(loop))
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._before)

    def _hung_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """At once and not in the loop's next turn: whatever is written to a terminal that is gone fails."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            os.dup2(nowhere, stream)
        os.close(nowhere)
        loop.call_soon_threadsafe(self._press)

    async def beyond(self, count: int) -> None:
        """Returns once there were more than ``count``."""
        while self.count <= count:
            self._pressed.clear()
            await self._pressed.wait()

    def _press(self) -> None:
        self.count += 1
        self._pressed.set()

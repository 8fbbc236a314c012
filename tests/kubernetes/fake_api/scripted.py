"""Containers that only speak: what a worker's frames look like from outside, without a process behind them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from fake_api.containers import Container, Ended, Runtime
from klassd.workflows.executors.kubernetes.names import EXECUTION, NONCE
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End
from klassd.workflows.worker.claim import fitting

BEAT = 10.0  # seconds between two signs of life


class Speaker:
    """Writes frames as the worker of a container would."""

    def __init__(self, container: Container) -> None:
        self.container = container
        said = container.pod["metadata"]["annotations"]
        self._nonce, self._execution = said[NONCE], said[EXECUTION]
        self._seq = self.lines = 0

    def frame(self, kind: str, body: bytes) -> None:
        self.container.console.write(encode(self._nonce, self._seq, kind, 1_700_000_000_000_000 + self._seq, body))
        self._seq += 1

    def hello(self) -> None:
        self.frame("hello", dumps({"v": "0.1.0", "p": 1, "x": self._execution, "boot": "", "pid": 1, "start": 1, "sock": ""}))
        self.frame("start", dumps({"pid": 2, "start": 1}))

    def line(self, text: str) -> None:
        self.lines += 1
        self.frame("out", dumps({"l": self.lines, "n": 1, "s": 1, "x": f"{text}\n"}))

    def end(self, result: str = "success", **more: object) -> Ended:
        """The last frame, and how a container with this end leaves."""
        record = fitting(End(result=result, lines=self.lines, started_at=1.0, finished_at=2.0, **more))  # type: ignore[arg-type]
        self.frame("end", record)
        return Ended(0 if result == "success" else 1, message=record.decode())

    async def idle(self, seconds: float | None) -> bool:
        """Whether the time has passed; else it was told to stop."""
        end = None if seconds is None else asyncio.get_running_loop().time() + seconds
        while end is None or asyncio.get_running_loop().time() < end:
            wait = BEAT if end is None else min(BEAT, end - asyncio.get_running_loop().time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.container.stopping.wait()
                    return False
            self.frame("beat", b"{}")
        return True


def scripted(script: Callable[[Speaker], Awaitable[Ended | None]]) -> Runtime:
    """``script`` is the worker's container, and None means success; any other runs until it is stopped."""

    async def run(container: Container) -> Ended:
        if container.name != "worker":
            await container.stopping.wait()
            return Ended(143)
        speaker = Speaker(container)
        speaker.hello()
        playing = asyncio.ensure_future(script(speaker))
        killed = asyncio.ensure_future(container.killed.wait())
        try:
            await asyncio.wait({playing, killed}, return_when=asyncio.FIRST_COMPLETED)
            return (playing.result() or speaker.end()) if playing.done() else Ended(137)
        finally:
            for each in (playing, killed):
                each.cancel()
            await asyncio.gather(playing, killed, return_exceptions=True)

    return run


def idle(seconds: float | None) -> Runtime:
    """Works for so long, says nothing but that it lives, and ends when it is told to."""

    async def script(speaker: Speaker) -> Ended:
        return speaker.end() if await speaker.idle(seconds) else speaker.end("none", requested="stop")

    return scripted(script)

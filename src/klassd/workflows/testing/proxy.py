"""A network that fails on command: ``FaultProxy`` stands before a real server, and says to each connection what it meets.

    async with FaultProxy(("127.0.0.1", 5432), Faults(down=Way(cut=100))) as proxy:
        client = await connect(*proxy.address)      # gets 100 bytes, then the end

What happens is a matter of bytes and not of chance, so a test can try every place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

READ = 64 * 1024
TICK = 0.02  # seconds of a limited rate that are sent at once

Address = tuple[str, int] | str  # host and port, or the path of a unix socket


@dataclass(frozen=True, kw_only=True)
class Way:
    """What bytes meet in one direction."""

    cut: int | None = None  # after so many bytes the connection ends, in both directions
    stall: int | None = None  # after so many nothing more passes, and nobody is told: a half-open connection
    latency: float = 0.0  # seconds that everything takes
    rate: float | None = None  # bytes per second
    split: int | None = None  # bytes in one segment at most
    merge: float = 0.0  # seconds during which what arrives is kept, to go out as one


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What one connection meets. ``up``: from client to server."""

    up: Way = Way()
    down: Way = Way()
    reset: bool = False  # a cut is a reset; else an end in order, which looks like a server that is done
    refuse: bool = False  # reset at once


Script = Faults | Callable[[int], Faults]  # for all connections, or by the number of the connection, from 0


@dataclass
class Passage:
    """One connection that was made. ``struck``: what it was cut, stalled or refused by; a test that depends on it checks it."""

    faults: Faults
    up: int = 0  # bytes that passed
    down: int = 0
    struck: set[str] = field(default_factory=set)


class FaultProxy:
    """``path``: listen on a unix socket there instead of a TCP port of this machine; ``host``: its address that others reach.
    ``faults`` may be set anew any time, for connections to come."""

    def __init__(self, target: Address, faults: Script = Faults(), *, path: str | None = None, host: str = "127.0.0.1") -> None:
        self._target, self._path, self._host = target, path, host
        self.faults = faults
        self.passages: list[Passage] = []
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def __aenter__(self) -> FaultProxy:
        starting = asyncio.start_unix_server(self._accept, self._path) if self._path else None
        self._server = await (starting or asyncio.start_server(self._accept, self._host, 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        await self.drop()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        assert self._server, "it listens inside `async with`"
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def drop(self) -> None:
        """Reset every connection."""
        for task, writers in self._open.items():
            _reset(*writers)
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    # -- one connection -----------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage(self.faults(len(self.passages)) if callable(self.faults) else self.faults)
        self.passages.append(passage)
        task = asyncio.current_task()
        assert task
        self._open[task] = (writer,)
        try:
            await self._serve(passage, reader, writer, task)
        except (OSError, asyncio.CancelledError):  # of either side, or dropped
            _reset(writer)
        finally:
            del self._open[task]

    async def _serve(
        self, passage: Passage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        if passage.faults.refuse:
            passage.struck.add("refuse")
            _reset(writer)
            return
        far_reader, far_writer = await _connect(self._target)
        self._open[task] = (writer, far_writer)
        pumps = [_Pump(passage, "up", reader, far_writer).run(), _Pump(passage, "down", far_reader, writer).run()]
        try:
            await _until_cut(pumps)
        finally:
            if passage.faults.reset and "cut" in passage.struck:
                _reset(writer, far_writer)
            writer.close()
            far_writer.close()


async def _connect(target: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, str):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection(*target)


async def _until_cut(pumps: list[Coroutine[Any, Any, bool]]) -> None:
    """Both directions to their ends, or to the first cut."""
    pending = {asyncio.ensure_future(pump) for pump in pumps}
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(each.result() for each in done):
                return
    finally:
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


class _Pump:
    def __init__(self, passage: Passage, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._passage, self._name = passage, name
        self._way: Way = getattr(passage.faults, name)
        self._reader, self._writer = reader, writer
        self._passed = 0

    async def run(self) -> bool:
        """Whether it ended by a cut; else the sender was done."""
        if self._way.cut == 0:
            return self._strike("cut")
        async for piece in self._pieces():
            if self._way.stall is not None and self._passed + len(piece) > self._way.stall:
                self._strike("stall")
                await asyncio.Event().wait()
            end = len(piece) if self._way.cut is None else min(len(piece), self._way.cut - self._passed)
            await self._pass(piece[:end])
            if self._passed == self._way.cut:
                return self._strike("cut")
        with contextlib.suppress(OSError):
            self._writer.write_eof()
        return False

    async def _pieces(self) -> AsyncIterator[bytes]:
        """What arrives, cut to size; a piece never reaches beyond the place of a stall."""
        while data := await self._reader.read(READ):
            data += await self._company()
            await asyncio.sleep(self._way.latency)
            while data:
                size = self._size()
                yield data[:size]
                data = data[size:]

    async def _company(self) -> bytes:
        more = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._way.merge):
                while self._way.merge and (data := await self._reader.read(READ)):
                    more += data
        return more

    def _size(self) -> int:
        sizes = [READ, self._way.split, max(1, int(self._way.rate * TICK)) if self._way.rate else None]
        if self._way.stall is not None and self._passed < self._way.stall:
            sizes.append(self._way.stall - self._passed)
        return min(size for size in sizes if size is not None)

    async def _pass(self, piece: bytes) -> None:
        self._writer.write(piece)
        await self._writer.drain()
        self._passed += len(piece)
        setattr(self._passage, self._name, self._passed)
        if self._way.rate:
            await asyncio.sleep(len(piece) / self._way.rate)

    def _strike(self, what: str) -> bool:
        self._passage.struck.add(what)
        return True


def _reset(*writers: asyncio.StreamWriter) -> None:
    """Not an end in order: the other side reads ECONNRESET. (A unix socket knows no reset: there it is just the end.)"""
    for writer in writers:
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

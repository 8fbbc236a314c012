"""As much HTTP as API clients speak, by hand: a test wants a connection to break in its middle, which no server offers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body) if self.body else {}
        return found


@dataclass
class Answer:
    """``stream``: portions of a body without a known end; else ``body`` as JSON."""

    status: int = 200
    body: Any = None
    stream: AsyncIterator[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Cut(Exception):
    """The connection ends without an answer."""


Handler = Callable[[Request], Awaitable[Answer]]


class Http:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, backlog=4096, limit=2**22)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Nobody listens any more, and what was open is cut."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            while (request := await _read(reader)) is not None and await self._serve(request, reader, writer):
                pass
            writer.close()
        except (Cut, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._open.discard(task)

    async def _serve(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        answer = await self._handler(request)
        body = b"" if answer.stream else json.dumps(answer.body).encode()
        length = (
            {"transfer-encoding": "chunked", "connection": "close"} if answer.stream else {"content-length": str(len(body))}
        )
        head = {"content-type": "application/json", **length, **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        if answer.stream:
            await _flow(answer.stream, reader, writer)
        return answer.stream is None


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    body = await reader.readexactly(int(headers.get("content-length") or 0))
    parts = urlsplit(target)
    return Request(method, unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)


async def _flow(stream: AsyncIterator[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """To its end, or until the client goes."""
    sending = asyncio.ensure_future(_send(stream, writer))
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            raise Cut
        sending.result()
    finally:
        for each in (sending, leaving):
            each.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)
        with contextlib.suppress(Exception):
            await stream.aclose()  # type: ignore[attr-defined]


async def _send(stream: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
    async for portion in stream:
        if portion:
            writer.write(b"%x\r\n%b\r\n" % (len(portion), portion))
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()

"""The HTTP server on a loop that is not its own, against real sockets."""

from __future__ import annotations

import asyncio
import functools
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from klassd.workflows.composition import make_server
from klassd.workflows.errors import ConfigurationError, StoreError
from klassd.workflows.server import Readiness, listening
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.testing import FakeClock


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    return functools.wraps(test)(lambda *given, **named: asyncio.run(test(*given, **named)))


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, Readiness]]:
    server, readiness = make_server(MemoryStore(), "127.0.0.1", 0)
    async with server:
        yield int(server.url.rpartition(":")[2]), readiness


async def said(port: int, request: bytes) -> tuple[int, Any]:
    """What comes until the server closes the connection: status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def get(port: int, path: str) -> tuple[int, Any]:
    return await said(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


@on_a_loop
async def test_it_lives_before_it_is_ready_and_is_ready_with_a_lease() -> None:
    async with serving() as (port, readiness):
        assert (await get(port, "/healthz"))[0] == 200
        status, body = await get(port, "/readyz")
        assert (status, json.loads(body)) == (503, {"ready": False, "why": "the scheduler holds no lease"})
        readiness.lease_held = lambda: True
        assert (await get(port, "/readyz"))[0] == 200


@on_a_loop
async def test_nothing_else_is_there() -> None:
    async with serving() as (port, _):
        for path in ("/", "/docs", "/api/v1", "/openapi.json"):
            assert (await get(port, path))[0] == 404


class Moody(MemoryStore):
    looks, well = 0, True

    async def next_due(self, now: float) -> float | None:
        self.looks += 1
        if not self.well:
            raise StoreError("postgres://user:secret@db is gone")
        return None


@on_a_loop
async def test_readiness_asks_the_store_once_a_second_however_many_ask_and_tells_nothing_of_it() -> None:
    store, clock = Moody(), FakeClock()
    readiness = Readiness(store, clock)
    readiness.lease_held = lambda: True
    assert set(await asyncio.gather(*(readiness.why_not() for _ in range(100)))) == {""}
    store.well = False
    assert (await readiness.why_not(), store.looks) == ("", 1)
    clock.advance(1.0)
    assert (await readiness.why_not(), store.looks) == ("the store does not answer", 2)


@on_a_loop
async def test_a_connection_that_never_comes_to_the_point_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AGE", 0.05)
    async with serving() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HT")
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()


@on_a_loop
async def test_a_head_without_end_is_refused() -> None:
    async with serving() as (port, _):
        assert (await said(port, b"GET / HTTP/1.1\r\nX: " + b"x" * (listening.HEAD + 1)))[0] == 400


@on_a_loop
async def test_signals_stay_with_their_owner() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving() as (port, _):
        await get(port, "/healthz")
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127\.0\.0\.1 port {port}: .*in use; .*--port"):
            make_server(MemoryStore(), "127.0.0.1", port)


def test_what_is_missing_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("klassd.workflows.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'klassd-workflows\[server\]'"):
        make_server(MemoryStore(), "127.0.0.1", 0)

"""uvicorn on an event loop that is not its own: signals, loop and log stay with whoever has them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from klassd.workflows.errors import ConfigurationError

CONNECTIONS = 1000  # at once; more are told 503
HEAD = 16 * 1024  # bytes of a request's line and headers
AGE = 30.0  # seconds after which a connection that has no request under way is closed, whatever drips in
IDLE = 5.0  # seconds between two requests of one connection
LAST = 2  # seconds that a request under way has left when the server ends


class Server:
    """``async with Server(asgi, host, port)``: answers while inside. Raises ``ConfigurationError`` where it cannot listen."""

    def __init__(self, asgi: ASGIApp, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self._uvicorn = _Guest(_config(asgi))
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def over(self) -> None:
        """Until it serves no more; raises what ended it."""
        assert self._serving is not None
        await asyncio.shield(self._serving)

    async def __aenter__(self) -> Server:
        self._serving = asyncio.create_task(self._uvicorn.serve([self._socket]), name="http")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._serving is not None
        self._uvicorn.should_exit = True
        await asyncio.wait([self._serving])
        self._socket.close()


class _Guest(uvicorn.Server):
    """Ends when it is told to; signals are the host's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Hurried(H11Protocol):
    """uvicorn has no deadline for a request's head: a thousand silent connections would keep the probes out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._aged = self.loop.call_later(AGE, self._age)

    def connection_lost(self, exc: Exception | None) -> None:
        self._aged.cancel()
        super().connection_lost(exc)

    def _age(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self._aged = self.loop.call_later(AGE, self._age)


def _config(asgi: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        asgi,
        http=_Hurried,
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEAD,
        timeout_keep_alive=round(IDLE),
        timeout_graceful_shutdown=LAST,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=CONNECTIONS)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {why}; choose another with --host, --port or the setting listen"
        ) from error

"""Closes the connection of a request that is cancelled in its TLS handshake. httpcore2 does so after errors only: the socket
would stay open as long as the other side says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Handshake:
    """``extensions={"trace": Handshake()}`` of one request."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event == "connection.start_tls.failed":
            await self._stream.aclose()

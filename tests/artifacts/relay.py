"""A way to a server that can be cut: a local port whose connections go on to another one."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_REQUEST = re.compile(rb"^(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/1", re.MULTILINE)


class Relay:
    """``down``: every connection is cut at once. ``down_after``: bytes sent after which it goes down. ``requests``: the first
    lines of what passed, for plain HTTP."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.down = False
        self.down_after: int | None = None
        self.refused = threading.Event()  # somebody came while it was down
        self.requests: list[str] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut(self) -> None:
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.down:
                    client.close()
                    self.refused.set()
                else:
                    self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            self._open |= {client, server}
            back = threading.Thread(target=self._carry, args=(server, client, False), daemon=True)
            back.start()
            self._carry(client, server, True)
            back.join()
            self._open -= {client, server}

    def _carry(self, source: socket.socket, target: socket.socket, upward: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if upward:
                    self._look(data)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _look(self, data: bytes) -> None:
        self.requests += [f"{method.decode()} {path.decode()}" for method, path in _REQUEST.findall(data)]
        if self.down_after is not None:
            self.down_after -= len(data)
            if self.down_after < 0:
                self.down, self.down_after = True, None
                self.cut()

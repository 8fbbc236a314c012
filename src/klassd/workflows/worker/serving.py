"""A service beside its supervisor: where it listens, and whether it answers there.

Nothing here ever waits: a template's supervisor has others to look after.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from klassd.workflows.options import Service
from klassd.workflows.order import Order

EVERY = 0.25  # seconds between two questions
PATIENCE = 2.0  # seconds for an answer
STEADY = 0.5  # seconds that a connection must last where it may be a container engine that accepts it, and then finds nobody
ANSWER = 1024  # bytes of one, at most, before its first line must have ended


def host() -> str:
    """The address others reach this execution under."""
    return os.environ.get("KLASSD_POD_IP") or "127.0.0.1"


def with_port(order: Order) -> Order:
    """The order with a free port where it asks for any; an image that is published at one chooses it itself, later."""
    if order.service is None or order.service.port != 0 or order.engine is not None:
        return order
    with socket.socket(_family(host()), socket.SOCK_STREAM) as chosen:
        chosen.bind((host(), 0))
        return at_port(order, chosen.getsockname()[1])


def at_port(order: Order, port: int | None) -> Order:
    return msgspec.structs.replace(order, service=order.service and msgspec.structs.replace(order.service, port=port))


def ensure_free(order: Order) -> None:
    """Another's server at its port would be taken for it. Raises OSError."""
    port = order.service.port if order.service else None
    if not port:
        return
    with socket.socket(_family(host()), socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host(), port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(f"something else listens at port {port} of {host()} already: {_cure(order)}") from None


def _cure(order: Order) -> str:
    if order.container is not None:
        return "an image that uses services is in the network of this machine: let it listen at another port"
    return "give the service port=0, and let it listen at ctx.port"


class Watches(Protocol):
    def watch(self, fd: int, handler: Callable[[], object], event: int = select.POLLIN) -> None: ...
    def unwatch(self, fd: int) -> None: ...


class Probe:
    """Asks again and again until it is answered, and then calls ``answered``. ``published``: at the port a container engine
    listens in its place, already before it does."""

    def __init__(self, service: Service, watches: Watches, answered: Callable[[], None], *, published: bool = False) -> None:
        self._service, self._watches, self._answered, self._published = service, watches, answered, published
        self._socket: socket.socket | None = None
        self._lasting = False
        self._answer = b""
        self.next_at = time.monotonic()

    def turn(self, now: float) -> None:
        """Ask; whatever was asked before has had its time."""
        if self._lasting:
            self._succeed()
            return
        self.close()
        self.next_at = now + PATIENCE
        asking = socket.socket(_family(host()), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket, self._answer = asking, b""
        if asking.connect_ex((host(), self._service.port or 0)) in (0, errno.EINPROGRESS):
            self._watches.watch(asking.fileno(), self._connected, select.POLLOUT)
        else:
            self._refused()

    def close(self) -> None:
        if self._socket is not None:
            self._watches.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket, self._lasting = None, False

    def _refused(self) -> None:
        self.close()
        self.next_at = time.monotonic() + EVERY

    def _connected(self) -> None:
        asking = self._socket
        if asking is None or asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._refused()
        elif self._service.ready == "tcp" and not self._published:
            self._succeed()
        elif self._service.ready == "tcp":
            self._watches.unwatch(asking.fileno())
            self._watches.watch(asking.fileno(), self._spoken)
            self._lasting, self.next_at = True, time.monotonic() + STEADY
        else:
            self._watches.unwatch(asking.fileno())
            self._watches.watch(asking.fileno(), self._read)
            self._ask(asking)

    def _spoken(self) -> None:
        """Before it was long enough: a greeting, or the engine that hangs up."""
        try:
            greeting = self._socket.recv(1) if self._socket else b""
        except OSError:
            greeting = b""
        if greeting:
            self._succeed()
        else:
            self._refused()

    def _ask(self, asking: socket.socket) -> None:
        text = f"GET {self._service.path} HTTP/1.1\r\nHost: {host()}:{self._service.port}\r\nConnection: close\r\n\r\n"
        try:
            asking.sendall(text.encode("ascii"))
        except OSError:
            self._refused()

    def _read(self) -> None:
        try:
            data = self._socket.recv(ANSWER) if self._socket else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._answer += data
        line, newline, _ = self._answer.partition(b"\n")
        if _is_good(line) and newline:
            self._succeed()
        elif newline or not data or len(self._answer) > ANSWER:
            self._refused()

    def _succeed(self) -> None:
        self.close()
        self._answered()


def _is_good(line: bytes) -> bool:
    parts = line.split()
    return len(parts) >= 2 and parts[0].startswith(b"HTTP/1.") and parts[1][:1] in (b"2", b"3")


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

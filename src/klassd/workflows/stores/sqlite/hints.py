"""Wake-up hints from process to process: one byte to every watching store's socket, after a group of changes.

A hint may be lost, so nothing here ever fails an operation: without sockets, watchers of this process are still rung.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.sockets import socket_dir

log = logging.getLogger("klassd.workflows")

# A directory's time advances with the kernel's tick (1 to 10 ms): a listing taken that soon after a change may be stale.
_TICK_NS = 50_000_000


class Sockets:
    """The watchers of one database. Sending is the writer thread's, listening the event loop's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._directory = ""
        self._own: set[str] = set()
        self._names: list[str] = []
        self._listed_ns = -1  # the directory's time at the last listing that can be trusted
        self._sender: socket.socket | None = None

    def open(self) -> None:
        try:
            name = hashlib.sha256(os.fsencode(os.path.basename(self._path))).hexdigest()[:8]
            self._directory = os.path.join(socket_dir(os.path.dirname(self._path)), "w" + name)
            self._sender = _datagram()
        except (OSError, ConfigurationError) as error:
            self._directory = ""
            log.warning("other processes will notice changes only when they poll: %s", error)

    def close(self) -> None:
        if self._sender:
            self._sender.close()
        self._sender = None

    @contextmanager
    def listening(self, heard: Callable[[], None]) -> Iterator[None]:
        """Call ``heard`` on this event loop whenever another store has changed something."""
        receiver, path = _datagram(), os.path.join(self._directory, secrets.token_hex(6))
        self._own.add(os.path.basename(path))
        loop = asyncio.get_running_loop()
        try:
            if self._bound(receiver, path):
                loop.add_reader(receiver, _drain, receiver, heard)
            yield
        finally:
            if receiver.getsockname():
                loop.remove_reader(receiver)
                _unlink(path)
            receiver.close()
            self._own.discard(os.path.basename(path))

    def _bound(self, receiver: socket.socket, path: str) -> bool:
        try:
            socket_dir(os.path.dirname(self._path))  # once more: whoever tidies /tmp may have taken it
            os.makedirs(self._directory, 0o700, exist_ok=True)
            receiver.bind(path)
        except (OSError, ConfigurationError) as error:
            log.warning("changes of other processes will be noticed only by polling: %s", error)
            return False
        return True

    def send(self) -> None:
        if not self._sender:
            return
        for name in self._listening():
            if name not in self._own:
                self._send(self._sender, os.path.join(self._directory, name))

    def _send(self, sender: socket.socket, path: str) -> None:
        try:
            sender.sendto(b"!", path)
        except BlockingIOError:
            return  # its hints are not read yet: one more would say nothing new
        except ConnectionRefusedError:
            _unlink(path)  # the process that listened there was killed
        except OSError:
            return  # gone since the listing

    def _listening(self) -> list[str]:
        """Listed only when the directory has changed: a stat costs 1 us, a listing 10."""
        try:
            changed_ns = os.stat(self._directory).st_mtime_ns
            if changed_ns != self._listed_ns:
                self._names = os.listdir(self._directory)
                self._listed_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else -1
        except OSError:
            self._names = []
        return self._names


def _datagram() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _drain(receiver: socket.socket, heard: Callable[[], None]) -> None:
    try:
        while receiver.recv(16):
            pass
    except BlockingIOError:
        pass
    heard()


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return

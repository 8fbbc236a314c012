"""The claim of a start in a cluster: the scheduler's store says which of an execution's pods runs it, and it is one.

By hand over a socket: an HTTP client of the standard library costs 20 ms of imports in every pod, for one line of answer.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any, NamedTuple

from klassd.workflows.frames import dumps
from klassd.workflows.order import End, Error, Order
from klassd.workflows.worker.claim import fitting

URL, TOKEN_FILE = "KLASSD_CLAIM_URL", "KLASSD_CLAIM_TOKEN_FILE"
POD, UID = "KLASSD_POD_NAME", "KLASSD_POD_UID"

CONNECT, ANSWER = 5.0, 10.0  # seconds
WAIT = 3600.0  # seconds that it is asked for again, where the order has no start deadline: a scheduler may be away for long
FIRST, MOST = 0.1, 5.0  # seconds between two tries
LINE = 1024  # bytes of the answer in which its status stands

GRANTED, TAKEN, OVER = 200, 409, 410
ASK_AGAIN = (408, 425, 429, *range(500, 600))


class Unrun(Exception):
    """Nothing was started, and is not to be; ``record`` is what the container leaves."""

    def __init__(self, end: End) -> None:
        super().__init__(end.error.message if end.error else "asked to end before its start")
        self.record = fitting(end)


class _Place(NamedTuple):
    secure: bool
    host: str  # given to sockets as bytes: for text Python imports its tables of international names
    port: int
    path: str


def claim_start(order: Order) -> None:
    """Returns when the execution is this process's to start. Raises ``Unrun``."""
    url = os.environ.pop(URL)
    previous = signal.signal(signal.SIGTERM, _asked_to_end)
    try:
        place, request = _place(url), _request(url)
        _until_answered(order, url, place, request)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _asked_to_end(number: int, frame: object) -> None:
    raise Unrun(_end(None, requested="stop"))


def _until_answered(order: Order, url: str, place: _Place, request: bytes) -> None:
    patience = order.start_deadline or WAIT
    until, pause = time.monotonic() + patience, FIRST
    while True:
        why = _try(order, url, place, request)
        if not why:
            return
        if time.monotonic() >= until:
            raise _unrun("start_deadline", "NoScheduler", f"no answer from {url} within {patience:g} s: {why}")
        time.sleep(pause * (0.5 + os.urandom(1)[0] / 256))  # so that a thousand waiting pods do not come back at once
        pause = min(MOST, 2 * pause)


def _try(order: Order, url: str, place: _Place, request: bytes) -> str:
    """Empty when it is granted, else why to ask again. Raises ``Unrun`` where that is of no use."""
    try:
        status = _ask(place, request)
    except OSError as error:
        return str(error) or type(error).__name__
    if status == GRANTED:
        return ""
    if status in ASK_AGAIN:
        return f"it answers {status}"
    if status == TAKEN:
        raise _unrun("lost", "SecondPod", f"{order.execution_id} is started by another pod, and runs once")
    if status == OVER:
        raise _unrun("lost", "TooLate", f"{order.execution_id} has ended, or is to, before this pod could start it")
    raise _unrun("launch", "ClaimRefused", f"{url} answers {status}: {_MEANING.get(status, 'it is no scheduler of ours')}")


_MEANING = {
    401: "it takes no token of ours; is that the scheduler?",
    403: "it does not know this execution or its token; does it use the store of the scheduler that made this pod?",
    404: "there is no such route; [kubernetes] callback must name a `klassd serve` of the same version",
}


# -- one request ------------------------------------------------------------------------------------------------------


def _place(url: str) -> _Place:
    """Of a URL that the executor has checked."""
    scheme, _, rest = url.partition("://")
    netloc, _, path = rest.partition("/")
    host, colon, port = netloc.rpartition(":")
    if not colon or netloc.endswith("]"):
        host, port = netloc, "443" if scheme == "https" else "80"
    return _Place(scheme == "https", host.strip("[]"), int(port), f"/{path}")


def _request(url: str) -> bytes:
    """The same each time: this process, and no other of this pod."""
    place, netloc = _place(url), url.partition("://")[2].partition("/")[0]
    who = dumps({"pod": os.environ.pop(POD), "uid": os.environ.pop(UID), "process": os.urandom(16).hex()})
    lines = (
        f"POST {place.path} HTTP/1.1",
        f"Host: {netloc}",
        f"Authorization: Bearer {_token()}",
        "Content-Type: application/json",
        f"Content-Length: {len(who)}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + who


def _token() -> str:
    path = os.environ.pop(TOKEN_FILE)
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        raise _unrun("launch", "ClaimRefused", f"its token cannot be read from {path}: {error.strerror}") from None


def _ask(place: _Place, request: bytes) -> int:
    """The status of the answer. Raises ``OSError`` where there is none."""
    address: Any = (place.host.encode(), place.port)  # typeshed knows of text only
    with socket.create_connection(address, CONNECT) as plain:
        sock = _secured(plain, place.host) if place.secure else plain
        with sock:
            sock.sendall(request)
            return _status(sock)


def _secured(plain: socket.socket, host: str) -> socket.socket:
    import ssl

    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _status(sock: socket.socket) -> int:
    until, said = time.monotonic() + ANSWER, b""
    while b"\n" not in said and len(said) < LINE:
        sock.settimeout(max(0.001, until - time.monotonic()))
        if not (data := sock.recv(LINE)):
            break
        said += data
    words = said.split(b" ", 2)
    if not said.startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"what answers does not speak HTTP: {said[:40]!r}" if said else "the connection was closed")
    return int(words[1])


# -- what it leaves ---------------------------------------------------------------------------------------------------


def _unrun(cause: str, kind: str, message: str) -> Unrun:
    return Unrun(_end(Error(type=kind, message=message), cause=cause))


def _end(error: Error | None, *, cause: str | None = None, requested: str | None = None) -> End:
    now = time.time()
    result = "failure" if error else "none"
    return End(result=result, cause=cause, error=error, requested=requested, started_at=now, finished_at=now)

"""The job's end of the control socket: everything the job's own process tells its supervisor.

One message a packet, its kind in the first byte:

    I           its code is imported and its run begins
    L n JSON    a record of the console of n lines; ``l`` instead of ``L``: it goes on in the next
    E text      Python's standard error
    P JSON      bars
    V JSON      a piece of an output value, the body of a ``val`` frame
    R value     the result is recorded; the return value as JSON where it is short and not null
    X JSON      it failed: order.Error, and "cause"
    S JSON      a service is ready; "port" where it chose that itself
    A JSON      a service that is an image is about to be started; "port" where it is to be asked
    K           it ends and leaves processes behind
"""

from __future__ import annotations

import json
import os
import sys
from _thread import RLock  # importing threading would make every fork 0.7 ms dearer: it tidies up after each
from collections.abc import Iterator

PACKET = 14 * 1024  # bytes of one message at most: its frame must fit MAX_FRAME
TEXT = 1000  # characters that fit whatever escapes they need: twelve bytes for an emoji
NAME = 128  # characters of a logger's name


class Channel:
    """``marker`` is written into ``out``, the pipe that fd 1 was at first, after each message: so the supervisor knows which
    printed text came before it. After, so that a marker's message is never still to come; and not into fd 1, which the job
    may have made a file of its own."""

    def __init__(self, control: int, marker: bytes, out: int) -> None:
        self._control, self._marker, self._out = control, marker, out
        self._lock = RLock()

    def send(self, kind: bytes, body: bytes = b"", *, ordered: bool = True) -> None:
        with self._lock:
            try:
                if ordered:
                    _flush()
                os.write(self._control, kind + body)  # a packet
                if ordered:
                    os.write(self._out, self._marker)
            except OSError:  # the supervisor is gone, and so shall we be
                return

    def record(self, level: int, text: str, logger: str = "") -> None:
        """A record of ctx.log or logging, of one line or several."""
        source = f'"g":{json.dumps(logger[:NAME])},' if logger else ""
        head = f'"v":{level},{source}'
        text = text.encode("utf-8", "backslashreplace").decode("utf-8").removesuffix("\n")
        with self._lock:
            while True:
                piece, text = _piece(text)
                lines = piece.count("\n") + (0 if text else 1)
                if not text and piece.endswith("\n"):
                    piece += "\n"  # readers take one newline at the end for the end of the line before it
                more = ',"m":true' if text else ""
                kind = b"l" if text else b"L"
                self.send(kind, f'{lines} {head}"x":{json.dumps(piece)}{more}}}'.encode("ascii"))
                if not text:
                    return

    def stderr(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        for start in range(0, len(data), PACKET):
            self.send(b"E", data[start : start + PACKET])

    def bars(self, bars: dict[str, dict[str, object]]) -> None:
        self.send(b"P", json.dumps(bars).encode("ascii"), ordered=False)

    def value(self, name: str, encoded: bytes) -> None:
        """An output value in pieces."""
        for piece in pieces(name, encoded):
            self.send(b"V", json.dumps(piece).encode("ascii"), ordered=False)


def pieces(name: str, encoded: bytes) -> Iterator[dict[str, object]]:
    """The bodies of the ``val`` frames of an output value."""
    text = encoded.decode("utf-8")
    for start in range(0, len(text) or 1, TEXT):
        more = {"m": True} if start + TEXT < len(text) else {}
        yield {"k": name, "p": text[start : start + TEXT], **more}


def _piece(text: str) -> tuple[str, str]:
    """What fits one message, at a line's end where there is one."""
    if len(text) <= TEXT:
        return text, ""
    newline = text.rfind("\n", 0, TEXT)
    cut = newline + 1 if newline > 0 else TEXT
    return text[:cut], text[cut:]


def _flush() -> None:
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError, RuntimeError):  # closed, replaced, or in use below us
        return

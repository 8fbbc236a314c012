"""What a job prints or logs, while many jobs share this process: to the console of the job that says it.

The current job is a context variable, so tasks that a job starts speak for it too. Printed text is passed on as well, so
that the test runner shows it when a test fails.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from klassd.workflows.testing.recording import Recording

speaking: ContextVar[Recording | None] = ContextVar("speaking", default=None)


@contextmanager
def captured() -> Iterator[None]:
    """Within it, ``sys.stdout``, ``sys.stderr`` and the root logger are shared by jobs. Nests, and ends in any order."""
    _capture.begin()
    try:
        yield
    finally:
        _capture.end()


class _Capture:
    def __init__(self) -> None:
        self._depth = 0
        self._handler = _Handler()

    def begin(self) -> None:
        self._depth += 1
        _share_streams()
        if self._depth > 1:
            return
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self._handler)
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)  # as the worker does

    def end(self) -> None:
        self._depth -= 1
        if self._depth:
            return
        _unshare_streams()
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger().setLevel(self._level)


def _share_streams() -> None:
    """At every beginning: a test runner sets new streams for each test, perhaps while an earlier capture is still open."""
    if not isinstance(sys.stdout, _Stream):
        sys.stdout = _Stream(sys.stdout, 1)
    if not isinstance(sys.stderr, _Stream):
        sys.stderr = _Stream(sys.stderr, 2)


def _unshare_streams() -> None:
    """Streams that somebody else has set meanwhile stay."""
    if isinstance(sys.stdout, _Stream):
        sys.stdout = sys.stdout.behind
    if isinstance(sys.stderr, _Stream):
        sys.stderr = sys.stderr.behind


class _Stream(io.TextIOBase):
    encoding = "utf-8"

    def __init__(self, behind: TextIO, descriptor: int) -> None:
        self.behind = behind
        self._descriptor = descriptor

    def write(self, text: str, /) -> int:
        recording = speaking.get()
        if recording is not None:
            recording.printed(self._descriptor, text)
        return self.behind.write(text)

    def flush(self) -> None:
        self.behind.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.behind.fileno()

    def isatty(self) -> bool:
        return False


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        recording = speaking.get()
        if recording is not None:
            recording.record(record.levelno, self.format(record), record.name)


_capture = _Capture()

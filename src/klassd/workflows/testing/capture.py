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
    """Within it, ``sys.stdout``, ``sys.stderr`` and the root logger are shared by jobs."""
    streams, root, handler = (sys.stdout, sys.stderr), logging.getLogger(), _Handler()
    level = root.level
    sys.stdout, sys.stderr = _Stream(streams[0], 1), _Stream(streams[1], 2)
    root.addHandler(handler)
    if level == logging.WARNING:
        root.setLevel(logging.INFO)  # as the worker does
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        root.removeHandler(handler)
        root.setLevel(level)


class _Stream(io.TextIOBase):
    encoding = "utf-8"

    def __init__(self, behind: TextIO, descriptor: int) -> None:
        self._behind = behind
        self._descriptor = descriptor

    def write(self, text: str, /) -> int:
        recording = speaking.get()
        if recording is not None:
            recording.printed(self._descriptor, text)
        return self._behind.write(text)

    def flush(self) -> None:
        self._behind.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._behind.fileno()

    def isatty(self) -> bool:
        return False


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        recording = speaking.get()
        if recording is not None:
            recording.record(record.levelno, self.format(record), record.name)

"""The job's own view of its console: ``print`` stays C-quick on fd 1, ``sys.stderr`` and ``logging`` go over the channel."""

from __future__ import annotations

import io
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

from klassd.workflows.worker.channel import Channel

if TYPE_CHECKING:
    from logging import LogRecord
    from types import ModuleType


class StandardError(io.TextIOBase):
    """``sys.stderr`` of a job: whole lines go out at once, the rest on ``flush``."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._rest = ""

    def write(self, text: str, /) -> int:
        head, newline, rest = (self._rest + text).rpartition("\n")
        self._rest = rest
        if newline:
            self._channel.stderr(head + newline)
        return len(text)

    def flush(self) -> None:
        if self._rest:
            rest, self._rest = self._rest, ""
            self._channel.stderr(rest)

    def fileno(self) -> int:
        return 2

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> Any:
        return io.FileIO(2, "w", closefd=False)


_prepared: io.TextIOBase | None = None


def prepare() -> None:
    """Make ``sys.stdout`` ready for children that are forked later: opening it costs each of them 90 page faults.

    Over a pipe, so that it does not take itself for a file that can seek.
    """
    global _prepared  # noqa: PLW0603  (one process, one standard output)
    sys.stdout.flush()
    ours = os.dup(1)
    read, write = os.pipe()
    os.dup2(write, 1)
    _prepared = _open_stdout()
    os.dup2(ours, 1)
    for fd in (ours, read, write):
        os.close(fd)


def _open_stdout() -> io.TextIOBase:
    """On fd 1; "w" with buffering=1 is C all the way down."""
    return open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def install(channel: Channel) -> None:
    sys.stdout = _prepared or _open_stdout()
    sys.stderr = StandardError(channel)
    if "logging" in sys.modules:
        install_logging(channel)
    else:
        sys.meta_path.insert(0, _WhenLoggingIsImported(channel))


def install_logging(channel: Channel) -> None:
    """Records reach the console with level and logger. What the module configured for the terminal is replaced by it."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: LogRecord) -> None:
            try:
                channel.record(record.levelno, self.format(record), record.name)
            except Exception:
                self.handleError(record)

    root = logging.getLogger()
    for other in root.handlers[:]:
        if type(other) is logging.StreamHandler:
            root.removeHandler(other)
    if not root.handlers and root.level == logging.WARNING:
        root.setLevel(logging.INFO)
    handler = Handler()
    root.addHandler(handler)
    _let_configure(logging, root, handler)


def _let_configure(logging: Any, root: Any, handler: Any) -> None:
    """``logging.basicConfig`` does nothing where there is a handler. A job that asks for a level shall get it, and one that
    asks for a place of its own has left the console."""
    original = logging.basicConfig

    def basicConfig(**options: Any) -> None:  # noqa: N802
        if options.keys() & {"filename", "stream", "handlers"}:
            root.removeHandler(handler)
            original(**options)
        elif handler not in root.handlers:
            original(**options)
        elif options.get("level") is not None:
            root.setLevel(options["level"])

    logging.basicConfig = basicConfig


class _WhenLoggingIsImported:
    """A job that imports logging while it runs gets the handler then."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader, execute, channel = spec.loader, spec.loader.exec_module, self._channel

            def exec_module(module: ModuleType) -> None:
                execute(module)
                install_logging(channel)

            loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

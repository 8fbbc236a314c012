"""The files that a container leaves, as outputs."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import msgspec

from klassd.workflows.errors import ContainerFailed
from klassd.workflows.order import FileSpec

LIMIT = 64 * 1024  # bytes, as of every output
SHOWN = 80  # characters of a file in a message


def value_of(name: str, file: FileSpec, data: bytes | None) -> Any:
    """``data``: what is in the file; None: it is not there. Raises ``ContainerFailed``."""
    if data is None:
        if file.default is msgspec.UNSET:
            raise failed(name, f"there is no file {file.path}: have it written, or give the output a default")
        return file.default
    if len(data) > LIMIT:
        raise too_large(name, file, len(data))
    return _text(name, file, data) if file.format == "text" else _json(name, file, data)


def failed(name: str, why: str) -> ContainerFailed:
    return ContainerFailed(f"it succeeded, but not its output {name!r}: {why}", cause="output")


def too_large(name: str, file: FileSpec, size: int) -> ContainerFailed:
    return failed(name, f"{file.path} has {size:,} bytes, at most {LIMIT:,}: store large data and write where it is")


def _text(name: str, file: FileSpec, data: bytes) -> str:
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise failed(name, f"{file.path} is not UTF-8: {error}") from None


def _json(name: str, file: FileSpec, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        begin = data[:SHOWN].decode("utf-8", "backslashreplace")
        said = f"{file.path} is no JSON ({error}), it begins with {begin!r}; for text as it is: FileOutput(..., format='text')"
        raise failed(name, said) from None


def read(name: str, file: FileSpec) -> bytes | None:
    """What is in the file here; no more of it than shows that it is too large. None: it is not there. A link is not followed:
    whoever made it may not read what it leads to. Raises ``ContainerFailed``."""
    try:
        fd = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
        raise failed(name, f"{file.path} {why}") from None
    with os.fdopen(fd, "rb") as opened:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise failed(name, f"{file.path} is not a file")
        if found.st_size > LIMIT:
            raise too_large(name, file, found.st_size)
        return opened.read(LIMIT + 1)

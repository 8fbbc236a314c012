"""Artifacts as files of a directory: ``file:///var/lib/klassd/artifacts``, or a plain path.

Everything below the root is opened relative to its parent's descriptor and without following links, so nothing a job
plants there leads out of it. A file appears under its name by one rename, after its bytes have reached the disk.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.checked import checked
from klassd.workflows.artifacts.names import split_key, writer_of
from klassd.workflows.artifacts.writing import BINARY, ArtifactFile, copy, written
from klassd.workflows.errors import ArtifactError, ArtifactMissing, ArtifactNotStored, ConfigurationError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # not blocking: a planted FIFO must not hold the job


class FileArtifacts:
    """``artifacts.ArtifactStore`` in a directory, made on first use. Takes a path or a ``file:`` URL."""

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.root = _path_of(os.fspath(url))

    def save(self, key: str, source: BinaryIO, media_type: str = BINARY) -> Artifact[Any]:
        """Store all of ``source``, read in blocks of 1 MiB. Raises ArtifactError when the store cannot."""
        with self.writer(key, media_type) as writer:
            copy(source, writer)
        return writer.artifact

    @contextmanager
    def writer(self, key: str, media_type: str = BINARY) -> Iterator[ArtifactFile]:
        """A file to write to, visible under ``key`` when the block ends without an error; else nothing is."""
        *parents, name = split_key(key)
        told = partial(_told, key, "stored", ArtifactNotStored)
        with told():
            directory = self._directory(parents, create=True)
        try:
            with told():
                hidden = _HiddenFile(directory, name)
            with written(hidden, key, media_type, told) as file:
                yield file
        finally:
            os.close(directory)

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        """A stream of its bytes, checked against size and digest before the last of them is given."""
        with _told(artifact.key, "opened"):
            try:
                return checked(self._open_file(split_key(artifact.key)), artifact)
            except FileNotFoundError as error:
                raise self._missing(artifact.key) from error

    def delete(self, prefix: str) -> None:
        """Remove ``prefix`` and everything under it: a run, an execution or one artifact. Links are removed, not followed."""
        *parents, name = split_key(prefix)
        with _told(prefix, "deleted"), suppress(FileNotFoundError):
            directory = self._directory(parents)
            try:
                _remove(name, directory)
            finally:
                os.close(directory)

    def _open_file(self, segments: list[str]) -> io.FileIO:
        directory = self._directory(segments[:-1])
        try:
            return _open_plain(segments[-1], directory)
        finally:
            os.close(directory)

    def _directory(self, names: list[str], create: bool = False) -> int:
        if create:
            os.makedirs(self.root, exist_ok=True)
        return _descend(os.open(self.root, os.O_RDONLY | os.O_DIRECTORY), names, create)

    def _missing(self, key: str) -> ArtifactMissing:
        return ArtifactMissing(
            f"artifact {key!r} of {writer_of(key)} is not in {self.root}: it was deleted, or that execution "
            "used another artifact store (compare `artifacts=` of both, or KLASSD_ARTIFACTS)"
        )


class _HiddenFile:
    """``writing.Target``: a hidden file beside its name to be."""

    def __init__(self, directory: int, name: str) -> None:
        self._directory = directory
        self._name = name
        self._hidden = f".{os.urandom(8).hex()}"  # no key's segment begins with a dot
        self._file = os.open(self._hidden, _NEW_FILE, 0o666, dir_fd=directory)
        self._published = False

    def write(self, data: memoryview) -> int:
        return os.write(self._file, data)

    def publish(self) -> None:
        os.fsync(self._file)
        os.replace(self._hidden, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)
        self._published = True

    def abandon(self) -> None:
        os.close(self._file)
        if not self._published:
            with suppress(FileNotFoundError):  # renamed already, and only the directory could not be flushed
                os.unlink(self._hidden, dir_fd=self._directory)


def _path_of(url: str) -> str:
    """The directory a path or ``file:`` URL means. Absolute at once: a job may change its working directory."""
    path = url
    if url.startswith("file:"):
        path = url.removeprefix("file:")
        if path.startswith("//"):
            host, slash, rest = path[2:].partition("/")
            if host not in ("", "localhost"):
                raise ConfigurationError(f"artifacts={url!r} names the host {host!r}: expected file:///path or a plain path")
            path = slash + rest
        if "%" in path:
            from urllib.parse import unquote

            path = unquote(path)
    if not path or "\0" in path:
        raise ConfigurationError(f"artifacts={url!r} names no directory: expected file:///path or a plain path")
    return os.path.abspath(path)


def _descend(directory: int, names: list[str], create: bool) -> int:
    """The descriptor of the directory under ``directory``, which is closed."""
    for name in names:
        parent = directory
        try:
            if create and _make(name, parent):
                os.fsync(parent)
            directory = os.open(name, _DIRECTORY, dir_fd=parent)
        finally:
            os.close(parent)
    return directory


def _make(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _open_plain(name: str, directory: int) -> io.FileIO:
    descriptor = os.open(name, _FILE, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{name} is not a plain file")
    return io.FileIO(descriptor)


def _remove(name: str, parent: int) -> None:
    """A file, a link or a whole directory; what somebody else removes meanwhile is fine."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            _remove_directory(name, parent)
        else:
            os.unlink(name, dir_fd=parent)


def _remove_directory(name: str, parent: int) -> None:
    directory = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        for entry in os.listdir(directory):
            _remove(entry, directory)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


@contextmanager
def _told(key: str, done: str, kind: type[ArtifactError] = ArtifactError) -> Iterator[None]:
    """The system's errors as ArtifactError."""
    try:
        yield
    except OSError as error:
        why = "a link or a file stands where a directory belongs" if error.errno in _IN_THE_WAY else str(error)
        raise kind(f"artifact {key!r} could not be {done}: {why}") from error

"""A file to write an artifact to: counts and digests what goes through, and gives it a name at the end or never."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.checked import BLOCK
from klassd.workflows.errors import ArtifactError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BINARY = "application/octet-stream"
Told = Callable[[], AbstractContextManager[None]]  # what turns a store's own errors into ArtifactError


class Target(Protocol):
    """Where the bytes go, in a store's own way."""

    def write(self, data: memoryview) -> int: ...

    def publish(self) -> None:
        """All bytes have come: make them visible in one step."""
        ...

    def abandon(self) -> None:
        """Leave nothing behind, also when bytes were refused before; does nothing after ``publish``."""
        ...


class ArtifactFile(io.BufferedWriter):
    """An artifact being written. ``artifact`` is its reference once the ``with`` block has ended."""

    def __init__(self, target: Target, key: str, media_type: str, told: Told) -> None:
        self._counted = _Counted(target, told)
        super().__init__(self._counted, BLOCK)
        self._key, self._media_type = key, media_type

    @property
    def artifact(self) -> Artifact[Any]:
        counted = self._counted
        if not counted.complete:
            raise ArtifactError(f"artifact {self._key!r} is not complete: its reference exists when the with block has ended")
        return Artifact(key=self._key, size=counted.size, sha256=counted.digest.hexdigest(), media_type=self._media_type)

    def write(self, data: ReadableBuffer, /) -> int:
        if isinstance(data, str):
            raise TypeError(f"artifact {self._key!r} takes bytes, found str: open the file with 'rb', or encode the text")
        return super().write(data)

    def complete(self) -> None:
        """Give it its name, once all its bytes are stored."""
        if not self.closed:  # a TextIOWrapper around it closes it
            self.flush()
        self._counted.publish()

    def discard(self) -> None:
        """Let go of it; without a name it leaves nothing behind."""
        self._counted.abandon()
        self.close()


class _Counted(io.RawIOBase):
    def __init__(self, target: Target, told: Told) -> None:
        self._target: Target | None = target
        self._told = told
        self.digest = hashlib.sha256()
        self.size = 0
        self.complete = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)[:BLOCK]  # no store need hold more of what somebody writes at once
        if self._target is None:  # abandoned: what was still buffered goes nowhere
            return view.nbytes
        with self._told():
            count = self._target.write(view)
        self.digest.update(view[:count])
        self.size += count
        return count

    def publish(self) -> None:
        assert self._target is not None
        with self._told():
            self._target.publish()
        self.complete = True

    def abandon(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            target.abandon()


@contextmanager
def written(target: Target, key: str, media_type: str, told: Told) -> Iterator[ArtifactFile]:
    """For a ``with`` block: complete when it ends without an error; else nothing is stored."""
    file = ArtifactFile(target, key, media_type, told)
    try:
        yield file
        file.complete()
    finally:
        file.discard()


def copy(source: BinaryIO, target: ArtifactFile) -> None:
    """All of ``source``, in blocks of 1 MiB."""
    while block := source.read(BLOCK):
        target.write(block)

"""A stream that proves what it gives: size and SHA-256 of an artifact, checked while it is read."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.names import writer_of
from klassd.workflows.errors import ArtifactError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1024 * 1024


def checked(source: io.RawIOBase, artifact: Artifact[Any]) -> BinaryIO:
    """``source`` as a stream that raises ArtifactError instead of giving the last bytes of something else than
    ``artifact``. Buffered, not seekable (the digest is of the bytes in order); closes ``source``."""
    return cast(BinaryIO, io.BufferedReader(_Checked(source, artifact), BLOCK))


class _Checked(io.RawIOBase):
    def __init__(self, source: io.RawIOBase, artifact: Artifact[Any]) -> None:
        self._source = source
        self._artifact = artifact
        self._digest = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        count = self._source.readinto(view) or 0
        self._digest.update(view[:count])
        self._size += count
        self._check(at_end=not count)
        return count

    def _check(self, at_end: bool) -> None:
        expected = self._artifact
        if self._size > expected.size or (at_end and self._size < expected.size):
            more = "" if at_end else " or more"
            self._damaged(f"{expected.size} bytes", f"{self._size} bytes{more}")
        if self._size == expected.size and self._digest.hexdigest() != expected.sha256:
            self._damaged(f"SHA-256 {expected.sha256}", self._digest.hexdigest())

    def _damaged(self, expected: str, found: str) -> None:
        key = self._artifact.key
        raise ArtifactError(
            f"artifact {key!r} is not what {writer_of(key)} wrote: expected {expected}, found {found}. "
            "It was damaged, or saved again under the same name; run the job that makes it again"
        )

    def close(self) -> None:
        try:
            self._source.close()
        finally:
            super().close()

"""Large payloads by reference: ``Artifact`` in a job's inputs and outputs, ``ArtifactStore`` behind it."""

from __future__ import annotations

from typing import Any, BinaryIO, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Artifact(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A reference to stored bytes. Small, JSON, safe to pass between jobs.

    ``T`` says what the bytes mean, for the type checker: ``Artifact[bytes]``, ``Artifact[str]``, ``Artifact[Dataset]``.
    """

    key: str  # where it lies in the artifact store: "<run>/<execution>/<name>", under its tenant if it has one
    size: int  # bytes
    sha256: str  # of the bytes, hexadecimal
    media_type: str = "application/octet-stream"


class ArtifactStore(Protocol):
    """Where artifacts lie. Synchronous: it lives in the worker. Streams; never holds a whole payload in memory.

    Made from a URL by the entry point of its scheme in the group ``klassd.artifacts``, in the process that uses it. What it may
    have besides: ``writer`` (``scope.WritableStore``); ``check()``, which raises ``ConfigurationError`` when it cannot be used
    and is called as a scheduler starts; ``environment``, names of the variables that workers are given for it.
    """

    def save(self, key: str, source: BinaryIO, media_type: str = "application/octet-stream") -> Artifact[Any]:
        """Store all of ``source`` under ``key``: whole or not at all. Raises ``ArtifactNotStored`` when
        it cannot be stored now, another ``ArtifactError`` when it never can."""
        ...

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        """A stream of its bytes that raises ``ArtifactError`` at the end when size or digest differ. Raises ``ArtifactMissing``
        at once when there is none: the job is not tried again, then."""
        ...

    def delete(self, prefix: str) -> None:
        """Remove everything under ``prefix`` (a run or an execution). Idempotent."""
        ...

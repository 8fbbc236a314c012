"""Artifacts in memory, for tests."""

from __future__ import annotations

import hashlib
import io
from typing import Any, BinaryIO

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.checked import BLOCK, checked
from klassd.workflows.artifacts.names import split_key, writer_of
from klassd.workflows.errors import ArtifactMissing


class MemoryArtifacts:
    """``artifacts.ArtifactStore`` in a dictionary: ``.data`` holds the bytes by key."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def save(self, key: str, source: BinaryIO, media_type: str = "application/octet-stream") -> Artifact[Any]:
        split_key(key)
        target = io.BytesIO()
        while block := source.read(BLOCK):
            target.write(block)
        self.data[key] = target.getvalue()
        digest = hashlib.sha256(self.data[key]).hexdigest()
        return Artifact(key=key, size=len(self.data[key]), sha256=digest, media_type=media_type)

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        split_key(artifact.key)
        if artifact.key not in self.data:
            raise ArtifactMissing(f"artifact {artifact.key!r} of {writer_of(artifact.key)} is not in this store in memory")
        return checked(_Bytes(self.data[artifact.key]), artifact)

    def delete(self, prefix: str) -> None:
        split_key(prefix)
        for key in [key for key in self.data if f"{key}/".startswith(f"{prefix}/")]:
            del self.data[key]


class _Bytes(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readinto(self, buffer: Any, /) -> int:
        return self._data.readinto(buffer)

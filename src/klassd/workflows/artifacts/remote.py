"""What the stores behind a network have in common: streaming by blocks, bounded waiting, and a verdict at the start."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.checked import checked
from klassd.workflows.artifacts.names import split_key, writer_of
from klassd.workflows.artifacts.urls import Place, Reader, endpoint, place_of, shown
from klassd.workflows.artifacts.writing import BINARY, ArtifactFile, Target, Told, copy, written
from klassd.workflows.errors import ArtifactError, ArtifactMissing, ArtifactNotStored, ConfigurationError
from klassd.workflows.options import seconds

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MIB = 1024 * 1024
CONNECT = 5.0  # seconds
ANSWER, RETRY_FOR = 60.0, 60.0  # seconds of one request, and of a request with all its tries
VERDICT = 10.0  # seconds that a scheduler waits for a store at its start
PROBE = b"an artifact store was tried here\n"
PROXIES = tuple(name for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (each, each.upper()))
OPTIONS: dict[str, Reader] = {
    "endpoint_url": endpoint,
    "credentials": str,  # path of a file
    "timeout": seconds,  # of one request
    "retry_for": seconds,  # after which a request that keeps failing is given up
}


class RemoteArtifacts(ABC):
    """``artifacts.ArtifactStore`` over what a provider can do. Nothing is connected, and no SDK imported, before the first
    use: a client must not come into being before a fork."""

    options: dict[str, Reader] = OPTIONS
    sdk: str  # the module it needs
    extra: str  # of klassd-workflows, which brings it
    part = 8 * MIB  # of an upload or a download; a few of them are all that is held in memory

    def __init__(self, url: str) -> None:
        if find_spec(self.sdk) is None:
            raise ConfigurationError(f"artifacts={shown(url)!r} needs {self.sdk}: pip install 'klassd-workflows[{self.extra}]'")
        self.place: Place = place_of(url, self.options)
        self.timeout: float = self.place.options.get("timeout", ANSWER)
        self.retry_for: float = self.place.options.get("retry_for", RETRY_FOR)
        self._made: tuple[int, Any] | None = None

    # -- of a provider ------------------------------------------------------------------------------------------

    @abstractmethod
    def _connect(self) -> Any:
        """A new client."""

    @abstractmethod
    def _upload(self, name: str, media_type: str) -> Target: ...

    @abstractmethod
    def _object(self, name: str) -> tuple[int, Callable[[int, int], bytes]] | None:
        """Its size, and what gives the bytes from one offset to another. None: there is none."""

    @abstractmethod
    def _remove(self, name: str) -> None:
        """The object ``name`` and all below ``name/``."""

    @abstractmethod
    def _why(self, error: Exception) -> str | None:
        """A sentence about an error of its SDK: what was found, what to do. None: it is somebody else's."""

    # -- of an artifact store -----------------------------------------------------------------------------------

    def save(self, key: str, source: BinaryIO, media_type: str = BINARY) -> Artifact[Any]:
        """Store all of ``source``, read in blocks of 1 MiB. Raises ArtifactError when the store cannot."""
        with self.writer(key, media_type) as writer:
            copy(source, writer)
        return writer.artifact

    def writer(self, key: str, media_type: str = BINARY) -> AbstractContextManager[ArtifactFile]:
        """A file to write to, visible under ``key`` when the block ends without an error; else nothing is."""
        name, told = self._name(key), partial(self._told, key, "stored", ArtifactNotStored)
        with told():
            target = _Kept(self._upload(name, media_type))
        return written(target, key, media_type, told)

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        """A stream of its bytes, checked against size and digest before the last of them is given."""
        name = self._name(artifact.key)
        with self._told(artifact.key, "opened"):
            found = self._object(name)
        if found is None:
            raise self._missing(artifact.key)
        size, fetch = found
        return checked(_Parts(size, self.part, fetch, partial(self._told, artifact.key, "read")), artifact)

    def delete(self, prefix: str) -> None:
        """Remove ``prefix`` and everything under it: a run, an execution or one artifact."""
        name = self._name(prefix)
        with self._told(prefix, "deleted"):
            self._remove(name)

    def check(self) -> None:
        """Write and read one small object. Raises ConfigurationError with what is wrong and what to do about it."""
        patience, self.retry_for = self.retry_for, min(self.retry_for, VERDICT)
        try:
            with self.open(self.save("self-test/store/probe", io.BytesIO(PROBE), "text/plain")) as stream:
                stream.read()
        except ArtifactError as error:
            raise ConfigurationError(f"artifacts={self.place.shown!r} cannot be used: {error}") from None
        finally:
            self.retry_for, self._made = patience, None

    @property
    def _client(self) -> Any:
        """One per process: connections and threads that a fork left in the child are its parent's."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), self._connect())
        return self._made[1]

    def _name(self, key: str) -> str:
        split_key(key)
        return self.place.prefix + key

    @contextmanager
    def _told(self, key: str, done: str, kind: type[ArtifactError] = ArtifactError) -> Iterator[None]:
        """The SDK's errors as ArtifactError; theirs are long, and may repeat what was signed."""
        try:
            yield
        except Exception as error:
            why = self._why(error)
            if why is None:
                raise
            raise kind(f"artifact {key!r} could not be {done}: {why}") from None

    def _missing(self, key: str) -> ArtifactMissing:
        return ArtifactMissing(
            f"artifact {key!r} of {writer_of(key)} is not in {self.place.shown}: it was deleted, or that execution "
            "used another artifact store (compare `artifacts=` of both, or KLASSD_ARTIFACTS)"
        )

    def retried(self) -> str:
        return f"tried again for {self.retry_for:g} s"


class _Kept:
    """A target whose failure to clean up does not hide why there was something to clean up."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._published = False
        self.write = target.write

    def publish(self) -> None:
        self._target.publish()
        self._published = True

    def abandon(self) -> None:
        if not self._published:
            with suppress(Exception):
                self._target.abandon()


class _Parts(io.RawIOBase):
    """An object read part by part: each has a deadline of its own, and what fails is asked for again."""

    def __init__(self, size: int, part: int, fetch: Callable[[int, int], bytes], told: Told) -> None:
        self._size, self._most, self._fetch, self._told = size, part, fetch, told
        self._next = 0
        self._part = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._part and self._next < self._size:
            self._load()
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._part))
        view[:count] = self._part[:count]
        self._part = self._part[count:]
        return count

    def _load(self) -> None:
        end = min(self._next + self._most, self._size)
        self._part = memoryview(b"")  # let go of the last one first
        with self._told():
            self._part = memoryview(self._fetch(self._next, end))
        self._next = end

"""``ctx.artifacts``: an execution's own corner of the artifact store."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Protocol, cast, runtime_checkable

from klassd.workflows.artifacts import Artifact, ArtifactStore
from klassd.workflows.artifacts.names import scope_of, segment_of, split_key, tenant_segment
from klassd.workflows.artifacts.writing import BINARY
from klassd.workflows.context import ArtifactWriter
from klassd.workflows.errors import ArtifactError, ConfigurationError

TEXT = "text/plain; charset=utf-8"
_GROUP = "klassd.artifacts"


@runtime_checkable
class WritableStore(Protocol):
    """What a store may offer besides ``ArtifactStore``: to be written to. One that does not gets its bytes by way of a
    temporary file."""

    def writer(self, key: str, media_type: str = BINARY) -> AbstractContextManager[ArtifactWriter]: ...


class ExecutionArtifacts:
    """``context.Artifacts`` for one execution. ``store``: an artifact store, or the URL of one.

    Names may be any text: they become key segments one to one. Saving a name again replaces it; references to the bytes
    it had before then fail their digest. What belongs to another ``tenant`` is not opened.
    """

    def __init__(self, store: str | ArtifactStore, run_id: str, execution_id: str, tenant: str = "") -> None:
        self._store = store_for(store) if isinstance(store, str) else store
        self._prefix = scope_of(run_id, execution_id, tenant)
        self._tenant = tenant
        split_key(self._prefix)

    def save(self, name: str, data: bytes | str | BinaryIO, media_type: str | None = None) -> Artifact[Any]:
        """Store bytes, text (as UTF-8) or a file opened with ``"rb"``, and return the reference to pass on."""
        default = BINARY
        if isinstance(data, str):
            data, default = data.encode("utf-8"), TEXT
        source = io.BytesIO(data) if isinstance(data, bytes | bytearray | memoryview) else data
        if not hasattr(source, "read"):
            raise TypeError(f"artifact {name!r} is a {type(data).__name__}: expected bytes, str or a file opened with 'rb'")
        return self._store.save(self._key(name), source, media_type or default)

    def writer(self, name: str, media_type: str | None = None) -> AbstractContextManager[ArtifactWriter]:
        """A file to write bytes to. When the ``with`` block raises, nothing is stored."""
        key = self._key(name)
        if isinstance(self._store, WritableStore):
            return self._store.writer(key, media_type or BINARY)
        return _spooled(self._store, key, media_type or BINARY)

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        """A stream of an artifact's bytes; raises ArtifactError when it is missing, and when its bytes are not those saved."""
        self._admit(artifact.key)
        return self._store.open(artifact)

    def read(self, artifact: Artifact[Any]) -> bytes:
        """All of its bytes, in memory."""
        with self.open(artifact) as stream:
            return stream.read()

    def _admit(self, key: str) -> None:
        """A reference is data, and data may be forged: it opens nothing of another tenant."""
        if tenant_segment(key) != tenant_segment(self._prefix):
            own = f"of tenant {self._tenant!r}" if self._tenant else "of no tenant"
            raise ArtifactError(f"artifact {key!r} is refused: this execution is {own}, expected an artifact of the same")

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{segment_of(name)}"


def store_for(url: str) -> ArtifactStore:
    """The artifact store of a URL: a path or ``file:`` is our own, any other scheme an entry point of ``klassd.artifacts``."""
    scheme, colon, _ = url.partition("://")
    if not colon or scheme == "file":
        from klassd.workflows.artifacts.file import FileArtifacts

        return FileArtifacts(url)
    return cast(ArtifactStore, _plugin(scheme, url)(url))


def environment_of(url: str) -> tuple[str, ...]:
    """Names of the variables that the store of ``url`` takes its credentials and its way to the network from."""
    scheme, colon, _ = url.partition("://")
    return tuple(getattr(_plugin(scheme, url), "environment", ())) if colon and scheme != "file" else ()


def _plugin(scheme: str, url: str) -> Any:
    from importlib.metadata import entry_points  # 20 ms that `file` does not pay

    from klassd.workflows.artifacts.urls import shown

    known = entry_points(group=_GROUP)
    for entry in known.select(name=scheme):
        try:
            return entry.load()
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"artifacts={shown(url)!r} needs {error.name}, which is not installed: pip install 'klassd-workflows[{scheme}]'"
            ) from error
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"artifacts={shown(url)!r}: {entry.value} cannot be loaded: {error}") from error
    names = ", ".join(sorted({"file", *known.names}))
    raise ConfigurationError(f"artifacts={shown(url)!r} has the scheme {scheme!r}: expected one of {names}, or a plain path")


class _Spool(io.BufferedWriter):
    def __init__(self, key: str, target: io.RawIOBase) -> None:
        super().__init__(target)
        self._key = key
        self._artifact: Artifact[Any] | None = None

    @property
    def artifact(self) -> Artifact[Any]:
        if self._artifact is None:
            raise ArtifactError(f"artifact {self._key!r} is not complete: its reference exists when the with block has ended")
        return self._artifact

    def complete(self, artifact: Artifact[Any]) -> None:
        self._artifact = artifact


@contextmanager
def _spooled(store: ArtifactStore, key: str, media_type: str) -> Iterator[ArtifactWriter]:
    """A writer for a store that only takes sources."""
    from tempfile import TemporaryFile

    with TemporaryFile(buffering=0) as file:
        spool = _Spool(key, cast(io.RawIOBase, file))
        try:
            yield spool
            spool.flush()
            file.seek(0)
            spool.complete(store.save(key, cast(BinaryIO, file), media_type))
        finally:
            spool.close()

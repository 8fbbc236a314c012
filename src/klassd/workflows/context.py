"""``JobContext``: what a running job may say and ask. The worker and the test kit each bring their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, TypeVar

from klassd.workflows.artifacts import Artifact

T = TypeVar("T")


class Artifacts(Protocol):
    """``ctx.artifacts``: the execution's own corner of the artifact store."""

    def save(self, name: str, data: bytes | str | BinaryIO, media_type: str | None = None) -> Artifact[Any]:
        """Store ``data`` (streamed when it is a file) under ``name`` and return the reference to pass on."""
        ...

    def writer(self, name: str, media_type: str | None = None) -> AbstractContextManager[ArtifactWriter]:
        """A file to write to; complete, and ``writer.artifact`` set, when the ``with`` block ends without an error."""
        ...

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        """A stream of an artifact's bytes, digest-checked at its end."""
        ...

    def read(self, artifact: Artifact[Any]) -> bytes:
        """All of its bytes, digest-checked."""
        ...


class ArtifactWriter(Protocol):
    @property
    def artifact(self) -> Artifact[Any]: ...
    def write(self, data: bytes, /) -> int: ...


class JobContext(Protocol):
    """Given to ``run`` as its first argument."""

    run_id: str
    execution_id: str
    node: str
    index: int  # the item of a fan-out, from 0
    attempt: int  # from 1
    tenant: str
    tags: tuple[str, ...]
    arguments: Mapping[str, Any]  # the inputs as JSON
    config: Mapping[str, Any]
    idempotency_key: str  # the same for every attempt of this task: give it to the systems you call
    port: int | None  # of a service: where it is to listen
    fencing_token: int  # grows with every attempt: a system that remembers the highest can refuse a straggler

    def log(self, message: object, *, level: int | str = "INFO") -> None:
        """A line (or several) in the console. ``level``: a number or name of ``logging``."""
        ...

    def progress(self, percent: float, message: str = "") -> None:
        """The execution's own bar, 0 to 100."""
        ...

    def track(self, iterable: Iterable[T], *, total: float | None = None, name: str = "") -> Iterator[T]:
        """Iterate with a progress bar in the live console. ``total`` where ``len()`` does not tell."""
        ...

    def set_output(self, name: str, value: Any) -> None:
        """A named output besides the return value; JSON, at most 64 KiB."""
        ...

    def signal_ready(self, *, port: int | None = None) -> None:
        """A service tells that it can be used. ``port``: where it listens, if it chose that itself."""
        ...

    @property
    def pod_ip(self) -> str:
        """Of a service: the address that others reach it under, and that it listens at."""
        ...

    @property
    def artifacts(self) -> Artifacts: ...

    @property
    def cancelled(self) -> bool:
        """Somebody asked this execution to stop."""
        ...

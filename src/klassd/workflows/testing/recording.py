"""A context for unit tests: what a job says to it stands in ``.lines``, ``.bars`` and ``.outputs``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.artifacts.scope import ExecutionArtifacts
from klassd.workflows.frames import Frame
from klassd.workflows.model.logs import LogLine, lines_of
from klassd.workflows.options import Service
from klassd.workflows.order import Order
from klassd.workflows.testing.memory import MemoryArtifacts
from klassd.workflows.worker.channel import Channel
from klassd.workflows.worker.console import Console
from klassd.workflows.worker.context import WorkerContext


class Recording(Channel):
    """The worker's channel without a supervisor behind it: what is said becomes the same frames, in memory."""

    def __init__(self, now: Callable[[], float] = time.time, said: Callable[[], None] = lambda: None) -> None:
        super().__init__(cast(Any, None), b"", -1)
        self._now, self._said = now, said
        self.console = Console(self.say)
        self.frames: list[Frame] = []
        self.shown: dict[str, dict[str, Any]] = {}
        self.ready = False

    def say(self, kind: str, body: bytes) -> None:
        self.frames.append(Frame(len(self.frames), kind, int(self._now() * 1e6), body))
        self._said()

    def send(self, kind: bytes, body: bytes = b"", *, ordered: bool = True) -> None:
        if kind in (b"L", b"l"):
            lines, _, rest = body.partition(b" ")
            self.console.record(int(lines), rest, kind == b"l")
        elif kind == b"P":
            self._show(body)
        elif kind == b"V":
            self.say("val", body)
        else:
            self.ready = True
            self.say("ready", body or b"{}")

    def printed(self, descriptor: int, text: str) -> None:
        """Text of standard output (1) or standard error (2)."""
        self.console.raw(descriptor, text.encode("utf-8", "backslashreplace"), self._now())

    def _show(self, body: bytes) -> None:
        self.shown.update(msgspec.json.decode(body))
        self.say("prog", b'{"b":%b}' % body)

    def read_console(self) -> list[LogLine]:
        """Its lines so far, as they are read from a store."""
        records = [b"[%d,%b]" % (frame.t_us, frame.body) for frame in self.frames if frame.kind in ("out", "log")]
        return list(lines_of([b"[%b]" % b",".join(records)]))


class RecordingContext(WorkerContext):
    """The worker's own ``JobContext``, recording. Its attributes may be set: ``ctx.cancelled = True``.

    ``lines``: the console's text, ``console``: the same with level and logger, ``bars``: the last state of each bar,
    ``outputs``: what ``set_output`` was given, as JSON reads it back, ``ready``: ``signal_ready`` was called.
    """

    outputs: dict[str, Any]

    def __init__(self, order: Order, recording: Recording | None = None, artifacts: ArtifactStore | None = None) -> None:
        self.recording = recording or Recording()
        super().__init__(order, self.recording)
        if artifacts is not None:
            self._artifacts = ExecutionArtifacts(artifacts, self.run_id, self.execution_id, self.tenant)

    def set_output(self, name: str, value: Any) -> None:
        super().set_output(name, value)
        self.outputs[name] = msgspec.json.decode(self.outputs[name])

    @property
    def lines(self) -> list[str]:
        return [line.text for line in self.console]

    @property
    def console(self) -> list[LogLine]:
        return self.recording.read_console()

    @property
    def bars(self) -> dict[str, dict[str, Any]]:
        return self.recording.shown

    @property
    def ready(self) -> bool:
        return self.recording.ready


def context(
    *,
    run_id: str = "run",
    execution_id: str = "run-0-0-1",
    node: str = "job",
    index: int = 0,
    attempt: int = 1,
    tenant: str = "",
    tags: Sequence[str] = (),
    arguments: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    idempotency_key: str = "run-0-0",
    fencing_token: int = 1001,
    artifacts: ArtifactStore | str | os.PathLike[str] | None = None,
    cancelled: bool = False,
    port: int | None = None,
) -> RecordingContext:
    """A context for a plain unit test: ``await Integration(market="dk").run(testing.context())``.

    ``artifacts``: a directory, a URL or an artifact store; in memory if not given. ``port``: of a service.
    """
    url = os.fspath(artifacts) if isinstance(artifacts, str | os.PathLike) else ""
    order = Order(
        execution_id=execution_id,
        run_id=run_id,
        node=node,
        index=index,
        attempt=attempt,
        job=node,
        source="",
        inputs=dict(arguments or {}),
        tenant=tenant,
        tags=tuple(tags),
        idempotency_key=idempotency_key,
        fencing_token=fencing_token,
        config=dict(config or {}),
        artifacts=url,
        service=None if port is None else Service(port=port),
    )
    store = None if url else cast(ArtifactStore, artifacts or MemoryArtifacts())
    recording = RecordingContext(order, artifacts=store)
    recording.cancelled = cancelled
    return recording

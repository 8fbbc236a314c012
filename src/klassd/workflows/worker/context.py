"""``JobContext`` in a worker."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from klassd.workflows.job import encode_output
from klassd.workflows.order import Order
from klassd.workflows.worker.channel import Channel

if TYPE_CHECKING:
    from klassd.workflows.context import Artifacts

T = TypeVar("T")

MAX_OUTPUT = 64 * 1024  # bytes of JSON of one output
GATE = 0.02  # seconds between bars of one track; the supervisor shows ten a second

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50, "FATAL": 50}


class OutputError(Exception):
    """A result was produced but cannot be an output."""


class WorkerContext:
    """Implements ``context.JobContext``; each member is documented there."""

    def __init__(self, order: Order, channel: Channel) -> None:
        self.order, self._channel = order, channel
        self._tracks: list[str] = []  # names of bars under way
        self._artifacts: Artifacts | None = None
        self.run_id = order.run_id
        self.execution_id = order.execution_id
        self.node = order.node
        self.index = order.index
        self.attempt = order.attempt
        self.tenant = order.tenant
        self.tags = order.tags
        self.arguments: Mapping[str, Any] = order.inputs
        self.config: Mapping[str, Any] = order.config
        self.idempotency_key = order.idempotency_key
        self.fencing_token = order.fencing_token
        self.port = order.service.port if order.service else None
        self.cancelled = False
        self.outputs: dict[str, bytes] = {}

    def log(self, message: object, *, level: int | str = "INFO") -> None:
        self._channel.record(_level(level), str(message))

    def progress(self, percent: float, message: str = "") -> None:
        self._bar("", float(percent), 100.0, message)

    def track(self, iterable: Iterable[T], *, total: float | None = None, name: str = "") -> Iterator[T]:
        if total is None:
            hint = operator.length_hint(iterable, -1)
            total = None if hint < 0 else hint
        name = name or self._free_bar()
        self._tracks.append(name)
        done, shown = 0, time.monotonic()
        self._bar(name, done, total)
        try:
            for item in iterable:
                yield item
                done += 1
                now = time.monotonic()
                if now - shown >= GATE:
                    shown = now
                    self._bar(name, done, total)
        finally:
            self._tracks.remove(name)
            self._bar(name, done, total)

    def _free_bar(self) -> str:
        """The execution's own bar, or one more where a track goes on in another: as many as are nested, however many there
        are one after the other."""
        depth = 1
        while (name := "" if depth == 1 else f"track-{depth}") in self._tracks:
            depth += 1
        return name

    def _bar(self, name: str, at: float, of: float | None, text: str = "") -> None:
        bar: dict[str, object] = {"at": at, "of": of}
        if text:
            bar["text"] = str(text)[:200]
        self._channel.bars({name[:64]: bar})

    def set_output(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= 128:
            raise OutputError(f"an output is named {name!r}: expected text of 1 to 128 characters")
        self.outputs[name] = output_bytes(value, f"output {name!r}")

    def signal_ready(self, *, port: int | None = None) -> None:
        if port is not None and not (isinstance(port, int) and 0 < port < 65536):
            raise ValueError(f"port is {port!r}: expected a number from 1 to 65535")
        self._channel.send(b"S", b"{}" if port is None else b'{"port":%d}' % port)

    def listens(self, port: int) -> None:
        """An image that is a service is about to be started, and will be at this port of the machine."""
        self._channel.send(b"A", b'{"port":%d}' % port, ordered=False)

    @property
    def artifacts(self) -> Artifacts:
        if self._artifacts is None:
            from klassd.workflows.artifacts.scope import ExecutionArtifacts

            self._artifacts = ExecutionArtifacts(self.order.artifacts, self.run_id, self.execution_id, self.tenant)
        return self._artifacts

    @property
    def pod_ip(self) -> str:
        """The address others reach this execution under."""
        import os

        return os.environ.get("KLASSD_POD_IP", "127.0.0.1")


def output_bytes(value: object, what: str) -> bytes:
    """JSON of an output within its limit. Raises ``OutputError`` with the cure."""
    try:
        encoded = encode_output(value)
    except (TypeError, ValueError) as error:
        raise OutputError(f"{what} cannot be stored: {error}") from error
    if len(encoded) > MAX_OUTPUT:
        raise OutputError(
            f"{what} is {len(encoded):,} bytes of JSON, at most {MAX_OUTPUT:,}:"
            " save it with ctx.artifacts.save(...) and return the Artifact"
        )
    return encoded


def _level(level: int | str) -> int:
    if isinstance(level, int):
        return level
    known = _LEVELS.get(level.upper())
    if known is None and "logging" in sys.modules:
        found = sys.modules["logging"].getLevelName(level.upper())
        known = found if isinstance(found, int) else None
    if known is None:
        raise ValueError(f"level is {level!r}: expected a number or one of {', '.join(_LEVELS)}")
    return known

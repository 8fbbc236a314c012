"""After an image has ended well in a pod: reads the files it left, and says them as a job's outputs are said."""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator

from klassd.workflows import __version__
from klassd.workflows.containers.files import read, value_of
from klassd.workflows.errors import ContainerFailed
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End, Error, Order
from klassd.workflows.worker.channel import pieces
from klassd.workflows.worker.claim import fitting
from klassd.workflows.worker.context import OutputError, output_bytes
from klassd.workflows.worker.execute import (
    FAILED,
    SUCCEEDED,
    UNUSABLE,
    Unusable,
    given_order,
    leave_message,
    refuse_version,
)


def collect() -> int:
    """The exit code tells what came of it; so do frames on standard output, and the termination message."""
    try:
        order = given_order()
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    outputs, failed = _outputs(order)
    record = fitting(_end(outputs, failed))
    for number, (kind, body) in enumerate(_said(order, outputs, record)):
        sys.stdout.buffer.write(encode(order.nonce, number, kind, int(time.time() * 1e6), body))
    sys.stdout.flush()
    leave_message(record)
    return FAILED if failed else SUCCEEDED


def _outputs(order: Order) -> tuple[dict[str, bytes], ContainerFailed | None]:
    if problem := refuse_version(order):
        return {}, ContainerFailed(problem, cause="input")
    files = order.container.outputs if order.container else {}
    try:
        return {
            name: output_bytes(value_of(name, file, read(name, file)), f"output {name!r}") for name, file in files.items()
        }, None
    except ContainerFailed as error:
        return {}, error
    except OutputError as error:
        return {}, ContainerFailed(str(error), cause="output")


def _end(outputs: dict[str, bytes], error: ContainerFailed | None) -> End:
    now = time.time()
    if error is not None:
        said = Error(type=str(error), message="")
        return End(result="failure", cause=error.cause, error=said, started_at=now, finished_at=now)
    manifest = {name: (len(value), f"{zlib.crc32(value):08x}") for name, value in outputs.items()}
    return End(result="success", exit_code=0, outputs=manifest, started_at=now, finished_at=now)


def _said(order: Order, outputs: dict[str, bytes], record: bytes) -> Iterator[tuple[str, bytes]]:
    yield "hello", dumps({"v": __version__, "x": order.execution_id})
    for name, value in outputs.items():
        yield from (("val", json.dumps(piece).encode("ascii")) for piece in pieces(name, value))
    yield "end", record

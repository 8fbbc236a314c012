"""Runs a container with docker or podman: what a worker does of an execution that is an image.

pull (where it is not here) -> create -> directories of its outputs -> start, and wait -> state -> outputs -> remove
"""

from __future__ import annotations

import dataclasses
import io
import posixpath
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable
from typing import Any

import msgspec

from klassd.workflows.containers.engine import LOOPBACK, Engine, container_name, find_engine, last_line
from klassd.workflows.containers.files import LIMIT, failed, too_large, value_of
from klassd.workflows.containers.words import Words, words
from klassd.workflows.context import JobContext
from klassd.workflows.errors import ContainerFailed, JobCancelled
from klassd.workflows.job import Job
from klassd.workflows.options import EngineOptions
from klassd.workflows.order import ContainerSpec, FileSpec

GRACE = 10.0  # seconds, where nobody says
EARLIER = 1.0  # seconds of the grace that are ours, to say what came of it
WRITABLE = 0o777  # as a volume is in a pod: an image may run as any user
_RUN_ENDS = 128  # exit codes above are signals


class RunContainer(Job):
    """What a local worker runs in the place of a job's code."""

    args: list[Any] = dataclasses.field(default_factory=list)
    env: dict[str, Any] = dataclasses.field(default_factory=dict)

    def run(self, ctx: JobContext) -> None:
        order = ctx.order  # type: ignore[attr-defined]
        listens = ctx.listens if order.service is not None else None  # type: ignore[attr-defined]
        found = run_container(order.container, order.inputs, ctx, order.job, order.engine, order.grace, listens)
        for name, value in found.items():
            ctx.set_output(name, value)


def run_container(
    spec: ContainerSpec,
    inputs: dict[str, Any],
    ctx: JobContext,
    job: str = "",
    options: EngineOptions | None = None,
    grace: float = GRACE,
    listens: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Its file outputs. Raises ``ContainerFailed``; ``LaunchRefused`` where it can never be started. ``listens``: of a service,
    told right before its start at which port of this machine it will be."""
    options = options or EngineOptions(find_engine().path)
    given = words(job or spec.image, inputs)
    container = _Container(Engine(options.path), container_name(ctx.execution_id), spec, grace)
    container.pull()
    return container.run(given, options, _free_port() if options.port else ctx.port, listens)


class _Container:
    def __init__(self, engine: Engine, name: str, spec: ContainerSpec, grace: float) -> None:
        self._engine, self._name, self._spec, self._grace = engine, name, spec, grace

    def run(
        self, given: Words, options: EngineOptions, port: int | None, listens: Callable[[int], None] | None
    ) -> dict[str, Any]:
        try:
            self._make(self._engine.create(self._name, self._spec, given, options, port))
            self._make_directories()
            if listens is not None and port:
                listens(port)
            self._start()
            self._check_end()
            return {name: value_of(name, file, self._read(name, file)) for name, file in self._spec.outputs.items()}
        finally:
            _quietly(self._engine.remove(self._name))

    def pull(self) -> None:
        if _quietly(self._engine.has(self._spec.image)).returncode != 0:
            pulled = _quietly(self._engine.pull(self._spec.image))
            if pulled.returncode != 0:
                raise ContainerFailed(f"the image cannot be had: {last_line(pulled)}", cause="image")

    def _make(self, command: list[str], data: bytes | None = None) -> None:
        done = _quietly(command, data)
        if done.returncode != 0:
            raise ContainerFailed(f"the container cannot be made: {last_line(done)}", cause="launch")

    def _make_directories(self) -> None:
        """Those of its outputs are there, and anybody's to write to, as in a pod."""
        directories = sorted({posixpath.dirname(file.path) for file in self._spec.outputs.values()})
        if directories:
            self._make(self._engine.put(self._name), _archive(directories))

    def _start(self) -> None:
        """To its end. What it says while it stops belongs to its console, too."""
        with subprocess.Popen(self._engine.start(self._name), stdin=subprocess.DEVNULL) as attached:
            try:
                attached.wait()
            except JobCancelled:
                _quietly(self._engine.stop(self._name, int(max(self._grace - EARLIER, self._grace / 2))))
                raise

    def _check_end(self) -> None:
        state = msgspec.json.decode(_quietly(self._engine.state(self._name)).stdout or b"{}")
        code, status = int(state.get("ExitCode") or 0), state.get("Status")
        if status is None:
            raise ContainerFailed("the container is gone: it was removed from outside", cause="lost")
        if status == "created":
            raise ContainerFailed(f"the image could not be started: {state.get('Error') or 'see its console'}", cause="image")
        if state.get("OOMKilled"):
            raise ContainerFailed("killed: it used more memory than its limit", cause="oom", exit_code=code)
        if code:
            raise _ended_with(code)

    def _read(self, name: str, file: FileSpec) -> bytes | None:
        with subprocess.Popen(
            self._engine.get(self._name, file.path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as got:
            assert got.stdout is not None
            try:
                with tarfile.open(fileobj=got.stdout, mode="r|") as archive:
                    return _only_file(name, file, archive)
            except tarfile.ReadError:
                return None  # nothing came
            finally:
                got.kill()


def _only_file(name: str, file: FileSpec, archive: tarfile.TarFile) -> bytes:
    for member in archive:
        if not member.isreg():
            raise failed(name, f"{file.path} is not a file")
        if member.size > LIMIT:
            raise too_large(name, file, member.size)
        opened = archive.extractfile(member)
        assert opened is not None
        return opened.read()
    raise tarfile.ReadError("an empty archive")


def _archive(directories: list[str]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for directory in directories:
            entry = tarfile.TarInfo(directory.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, WRITABLE
            archive.addfile(entry)
    return written.getvalue()


def _ended_with(code: int) -> ContainerFailed:
    if _RUN_ENDS < code < _RUN_ENDS + signal.NSIG:
        number = code - _RUN_ENDS
        name = signal.Signals(number).name if number in signal.valid_signals() and number < signal.SIGRTMIN else ""
        return ContainerFailed(f"killed by signal {number}{name and f' ({name})'}", cause="signal", exit_code=code)
    return ContainerFailed(f"exit code {code}", exit_code=code)


def _free_port() -> int:
    """Chosen late: during a pull anybody could come to listen there."""
    with socket.create_server((LOOPBACK, 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _quietly(command: list[str], data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=data or b"", capture_output=True, check=False)

"""Starts worker processes that outlive this one, and hears of their end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from klassd.workflows.artifacts.scope import environment_of
from klassd.workflows.crashes import mark
from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.local.environment import clean
from klassd.workflows.executors.local.spool import is_claimed
from klassd.workflows.order import Order

LOG_LIMIT = 1024 * 1024  # bytes of worker.log before its older part is dropped
_TAIL = 16 * 1024
_POLL = 0.2  # seconds; only where the kernel has no pidfd

_left: set[int] = set()  # children that nobody watches any more and that must not stay zombies


class Child:
    """A process of ours. ``exited`` becomes true once, with the exit code (or minus the signal)."""

    def __init__(self, popen: subprocess.Popen[bytes], log: str, log_offset: int) -> None:
        self._popen = popen
        self._log, self._log_offset = log, log_offset
        self._loop = asyncio.get_running_loop()
        self.pid = popen.pid
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = _open_pidfd(popen.pid)
        self._timer: asyncio.TimerHandle | None = None
        if self._pidfd is None:
            self._poll()
        else:
            self._loop.add_reader(self._pidfd, self._poll)

    def _poll(self) -> None:
        code = self._popen.poll()
        if code is not None:
            self.let_go()
            self.exited.set_result(code)
        elif self._pidfd is None:
            self._timer = self._loop.call_later(_POLL, self._poll)

    def let_go(self) -> None:
        """Stop watching it; it goes on."""
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._timer:
            self._timer.cancel()
        if self._popen.poll() is None:
            self._popen.returncode = 0  # else Popen complains that it still runs, which is the very point
            _left.add(self.pid)

    def failure(self, what: str) -> LaunchRefused | LaunchDelayed:
        """Why it ended without doing anything. Exit code 2 is a worker's own word for an order it must not start, 0 that of a
        template that nobody came to: this process was stopped meanwhile."""
        code = self.exited.result()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        message = f"{what} ended {how} while it started: {self.last_words() or 'it left no message'}"
        return LaunchDelayed(message) if code < 0 or code in (0, 2) else LaunchRefused(message)

    def last_words(self) -> str:
        """What it wrote to the log, the end of it."""
        try:
            with open(self._log, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(self._log_offset if self._log_offset <= size else 0, size - 2000))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-12:])


class Workers:
    """The two kinds of worker process, see ``klassd.workflows.worker``."""

    def __init__(self, python: str, env: tuple[str, ...], spools: str, log: str) -> None:
        self._command = (python, "-P", "-m", "klassd.workflows.worker")
        self._env, self._spools, self._log = env, spools, log
        self._artifacts = ""
        self._artifacts_env: tuple[str, ...] = ()
        self._children: set[Child] = set()

    def admit(self, artifacts: str) -> None:
        """Give workers from now on what the artifact store at this URL takes its credentials from."""
        if artifacts != self._artifacts:
            self._artifacts, self._artifacts_env = artifacts, environment_of(artifacts)

    def template(self, module: str, path: str) -> Child:
        """Raises ``LaunchRefused`` or ``LaunchDelayed``."""
        arguments = ("--module", module, "--spool", self._spools, "--socket", path, "--parent", str(os.getpid()))
        return self._start(path, None, "template", *arguments)

    async def run(self, order: Order, ended: Callable[[], None]) -> None:
        """One execution in an interpreter of its own; returns when it has claimed its start. ``ended`` is called when the
        process has ended. Raises ``LaunchRefused`` or ``LaunchDelayed``."""
        with tempfile.TemporaryFile() as stdin:  # a pipe could fill before the interpreter is up
            stdin.write(order.encoded())
            stdin.seek(0)
            child = self._start(order.execution_id, stdin, "run", "--spool", self._spools)
        child.exited.add_done_callback(lambda _: ended())
        await self._claimed(order.execution_id, child)

    async def _claimed(self, execution_id: str, child: Child) -> None:
        while not is_claimed(self._spools, execution_id):
            if child.exited.done() and not is_claimed(self._spools, execution_id):
                raise child.failure(f"the worker of {execution_id}")
            await asyncio.wait([child.exited], timeout=0.005)

    def _start(self, cookie: str, stdin: IO[bytes] | None, *arguments: str) -> Child:
        try:
            child = start(
                [*self._command, *arguments], clean(os.environ, self._env + self._artifacts_env, cookie), self._log, stdin
            )
        except OSError as error:
            kind = LaunchRefused if isinstance(error, FileNotFoundError | PermissionError) else LaunchDelayed
            raise kind(f"{self._command[0]} could not be started: {error}") from error
        self._children.add(child)
        child.exited.add_done_callback(lambda _: self._children.discard(child))
        return child

    def close(self) -> None:
        for child in list(self._children):
            child.let_go()
        self._children.clear()


def start(command: Sequence[str], env: Mapping[str, str], log: str, stdin: IO[bytes] | None = None) -> Child:
    """In a session of its own, with no descriptor of ours but ``stdin``. Raises OSError."""
    _reap_left()
    trim(log)
    with open(log, "ab") as output:
        offset = output.tell()
        arguments: dict[str, Any] = {"stdin": stdin or subprocess.DEVNULL, "stdout": output, "stderr": output, "env": env}
        mark("before:spawn")
        popen = subprocess.Popen(command, start_new_session=True, **arguments)
        mark("after:spawn")
    return Child(popen, log, offset)


def trim(log: str) -> None:
    """Keep the end of a log that grew too long. Whoever has it open goes on appending."""
    try:
        with open(log, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LOG_LIMIT:
                file.seek(size - _TAIL)
                tail = file.read()
                file.truncate(0)
                os.pwrite(file.fileno(), tail, 0)
    except FileNotFoundError:
        pass


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _reap_left() -> None:
    for pid in list(_left):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            _left.discard(pid)

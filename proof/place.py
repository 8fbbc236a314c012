"""A state directory, a store and a witness: where schedulers are started and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from klassd.workflows.client import Client
from klassd.workflows.composition import make_client, make_store
from klassd.workflows.crashes import VARIABLE as CRASH
from klassd.workflows.executors.local import identity
from proof import family, witness

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


class Place:
    def __init__(self, path: Path, url: str, lease: float, concurrency: int = 4) -> None:
        self.path, self.url, self.lease, self.concurrency = path, url, lease, concurrency
        self.state, self.witness = path / "state", path / "witness"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KLASSD_")}
        self.env = {**kept, "PYTHONPATH": str(ROOT), witness.VARIABLE: str(self.witness)}
        self.log = path / "schedulers.log"
        self.processes: list[subprocess.Popen[bytes]] = []

    def python(self, module: str, *arguments: str, crash_at: str = "") -> subprocess.Popen[bytes]:
        env = {**self.env, CRASH: crash_at} if crash_at else self.env
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            self.processes.append(subprocess.Popen(command, cwd=self.path, env=env, stdout=subprocess.PIPE, stderr=log))
        return self.processes[-1]

    def scheduler(self, crash_at: str = "", start: str = "auto") -> subprocess.Popen[bytes]:
        arguments = (self.url, str(self.state), str(self.lease), str(self.concurrency), start)
        return self.python("proof.scheduler", *arguments, crash_at=crash_at)

    def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        """One question to a client of the store."""

        async def main() -> T:
            async with make_client(make_store(self.url)) as client:
                return await question(client)

        return asyncio.run(main())

    def testimony(self) -> witness.Testimony:
        return witness.read(self.witness)

    def left_over(self, seconds: float = 5.0) -> list[str]:
        """Processes that have not ended by then, and what is left of their files."""
        until(lambda: not list(self._processes()), seconds, fail=False)
        return [*self._processes(), *family.left_in(self.state, time.time())]

    def close(self) -> None:
        """Whatever happened, nothing of it goes on."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            ended(process)
        for each in family.members(self.witness):
            identity.send(each.pid, each.start, signal.SIGKILL)

    def _processes(self) -> Iterator[str]:
        return (f"process {each.pid} ({each.role})" for each in family.members(self.witness))


def owner_of(scheduler: subprocess.Popen[bytes]) -> str:
    """Its name, once it serves; empty where it died before."""
    assert scheduler.stdout
    return scheduler.stdout.readline().decode().strip()


def end(scheduler: subprocess.Popen[bytes], seconds: float = 20.0) -> int:
    """In order; its exit code."""
    scheduler.terminate()
    return ended(scheduler, seconds)


def ended(process: subprocess.Popen[bytes], seconds: float = 20.0) -> int:
    code = process.wait(seconds)
    if process.stdout:
        process.stdout.close()
    return code


def until(holds: Callable[[], object], seconds: float, fail: bool = True, what: str = "it") -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            if fail:
                raise TimeoutError(f"{what} did not come to pass within {seconds:g} s")
            return False
        time.sleep(0.005)
    return True

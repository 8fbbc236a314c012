"""A project of a user in a directory of its own, with schedulers as real processes that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scheduler_program import SCHEDULER

from klassd.workflows.client import Client, RunView
from klassd.workflows.composition import make_client, make_store


class Project:
    """``write`` modules, ``start`` schedulers, ``client`` to look: all on one SQLite store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._schedulers: list[subprocess.Popen[bytes]] = []
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("KLASSD_")}
        self._env["PYTHONPATH"] = str(path)

    def write(self, name: str, text: str) -> Path:
        target = self.path / name
        target.write_text(text)
        return target

    def start(self, app: str, **env: str) -> subprocess.Popen[bytes]:
        """A scheduler of its own process, returned once it is serving."""
        process = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER, app], cwd=self.path, env={**self._env, **env}, stdout=subprocess.PIPE
        )
        self._schedulers.append(process)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        return process

    def kill(self, process: subprocess.Popen[bytes], how: int = signal.SIGKILL) -> None:
        process.send_signal(how)
        process.wait()
        if process.stdout:
            process.stdout.close()

    def python(self, code: str) -> str:
        """Run code as the user would, in the project's directory."""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.path, env=self._env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, question: Callable[[Client], Awaitable[Any]]) -> Any:
        """One question to a client of the project's store."""

        async def main() -> Any:
            store = make_store(f"sqlite:///{self.path}/.klassd/klassd.db")
            async with make_client(store) as client:
                return await question(client)

        return asyncio.run(main())

    def enqueue(self, app: str, name: str) -> str:
        """Enqueue a workflow or a job without inputs from a process of its own."""
        return self.python(
            f"import asyncio\nfrom klassd.workflows.app import load_app\n"
            f"app = load_app({app!r})\n"
            f"async def main():\n"
            f"    found = app.catalog.find({name!r})\n"
            f"    async with app.client() as client:\n"
            f"        print(await client.enqueue(found if hasattr(found, 'definition') else found.build({{}})))\n"
            f"asyncio.run(main())"
        ).strip()

    def finished(self, run_id: str, seconds: float = 120) -> RunView:
        async def question(client: Client) -> RunView:
            async with asyncio.timeout(seconds):
                await client.wait(run_id)
            return await client.view(run_id)

        view: RunView = self.ask(question)
        return view

    def lines(self, path: Path) -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.002)

    def close(self) -> None:
        for process in self._schedulers:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.close()

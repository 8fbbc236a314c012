"""Real commands in processes of their own, in a directory of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds: far beyond what anything here takes, also on a busy machine


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """A command that never says what is waited for fails its test instead of holding all of them."""

    def too_late(*_: object) -> None:
        raise AssertionError(f"not over within {DEADLINE:g} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Klassd:
    """``klassd(...)`` runs a command to its end; ``start`` leaves it running."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KLASSD_")}
        self.env = kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "100"}
        self.env.pop("NO_COLOR", None)
        self.env.pop("FORCE_COLOR", None)
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            check=False,
            text=True,
            timeout=DEADLINE,
            **options,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not any(line.startswith("Traceback") for line in done.stderr.splitlines())
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        """What it prints with ``--json``, which must be one line."""
        lines = self(*words, "--json", code=code).stdout.splitlines()
        assert len(lines) == 1
        return json.loads(lines[0])

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | options
        process = subprocess.Popen(
            self.command(*words), cwd=self.directory, env=self.env, text=True, start_new_session=True, **options
        )
        self.started.append(process)
        return process

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "klassd.workflows.cli", *words]

    def write(self, name: str, source: str) -> Path:
        path = self.directory / name
        path.write_text(source)
        return path


@pytest.fixture
def klassd(tmp_path: Path) -> Iterator[Klassd]:
    runner = Klassd(tmp_path)
    yield runner
    for process in runner.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Waits for a condition of the outside world that sends no signal; its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)
    return found


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


def alive(pid: int) -> bool:
    """Whether a process runs; one that is only waiting to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive

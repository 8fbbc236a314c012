"""Programs of a cluster on this machine, for tests that may take them down: those of ``KLASSD_TEST_CLUSTER_RUN``.

It is a directory with ``run/NAME.pid`` and ``log/NAME.log`` for each program. It must be nobody else's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

GONE = 30.0  # seconds for a killed program to be gone


class Part:
    """``kill`` it as by a crash, then ``start`` it as it was."""

    def __init__(self, directory: Path, name: str) -> None:
        self._pid_file, self._log = directory / "run" / f"{name}.pid", directory / "log" / f"{name}.log"
        self._pid = int(self._pid_file.read_text())
        self._argv = _words(self._pid, "cmdline")
        self._env = dict(word.split("=", 1) for word in _words(self._pid, "environ"))
        self._cwd = os.readlink(f"/proc/{self._pid}/cwd")

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        end = time.monotonic() + GONE
        while _alive(self._pid):
            assert time.monotonic() < end, f"{self._argv[0]} is there {GONE:g} s after it was killed"
            time.sleep(0.02)

    def start(self) -> None:
        """Nobody's child: it outlives the tests."""
        script = 'setsid "$@" </dev/null >>"$0" 2>&1 & echo $!'
        command = ["sh", "-c", script, str(self._log), *self._argv]
        done = subprocess.run(command, cwd=self._cwd, env=self._env, stdout=subprocess.PIPE, text=True, check=True)
        self._pid_file.write_text(done.stdout)
        self._pid = int(done.stdout)


def _words(pid: int, file: str) -> list[str]:
    return Path(f"/proc/{pid}/{file}").read_text().rstrip("\0").split("\0")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

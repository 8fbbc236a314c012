"""Real workers: template processes and processes of one execution each, and what they leave in their spool."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from klassd.workflows.frames import Decoder, Frame
from klassd.workflows.model.logs import LogLine, lines_of
from klassd.workflows.order import End, Order

SAMPLES = Path(__file__).parent / "samples"
NONCE = "0123456789abcdef" * 2
PATIENCE = 20.0  # seconds until a test gives up on something that takes milliseconds
_ids = itertools.count(1)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KLASSD_", "PYTHON", "COVERAGE"))}
    return {**kept, "PYTHONPATH": str(SAMPLES), "PYTHONDONTWRITEBYTECODE": "1", **more}


def order(job: str, module: str = "sample_jobs", **more: Any) -> Order:
    values: dict[str, Any] = {
        "execution_id": f"exec-{next(_ids)}",
        "run_id": "run-1",
        "node": "node",
        "job": job,
        "source": f"{module}:{job}",
        "nonce": NONCE,
        **more,
    }
    return Order(**values)


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """What ``condition`` gives once it is true. Looks again and again, with a deadline."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        time.sleep(0.002)
    return found


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


class Said:
    """What an execution left in its spool (or on standard output)."""

    def __init__(self, data: bytes, end: bytes | None = None) -> None:
        decoder = Decoder(NONCE)
        given = decoder.feed(data) + decoder.finish()
        self.frames = [each for each in given if isinstance(each, Frame)]
        self.plain = [each for each in given if not isinstance(each, Frame)]
        self.record = end

    def bodies(self, kind: str) -> list[Any]:
        return [json.loads(frame.body) for frame in self.frames if frame.kind == kind]

    @property
    def kinds(self) -> list[str]:
        return [frame.kind for frame in self.frames]

    @property
    def lines(self) -> list[LogLine]:
        chunk = b",".join(b"[%d,%b]" % (f.t_us, f.body) for f in self.frames if f.kind in ("out", "log"))
        return list(lines_of([b"[" + chunk + b"]"]))

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def end(self) -> End:
        """The outcome: frame and record must say the same."""
        last = self.frames[-1]
        assert last.kind == "end" and self.kinds.count("end") == 1
        assert [frame.seq for frame in self.frames] == list(range(len(self.frames)))
        assert len(last.body) <= 3072
        if self.record is not None:
            assert self.record == last.body
        return msgspec.json.decode(last.body, type=End)

    @property
    def values(self) -> dict[str, Any]:
        pieces: dict[str, str] = {}
        for body in self.bodies("val"):
            pieces[body["k"]] = pieces.get(body["k"], "") + body["p"]
        assert set(pieces) == set(self.end.outputs)
        return {name: json.loads(text) for name, text in pieces.items()}

    @property
    def value(self) -> Any:
        return self.values.get("")

    @property
    def error(self) -> Any:
        assert self.end.result != "success" or not self.end.stored, self.end
        assert self.end.error is not None, f"{self.end}\n{self.text}"
        return self.end.error


class Spool:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, execution_id: str) -> Said:
        end = self.path / f"{execution_id}.end"
        return Said((self.path / f"{execution_id}.log").read_bytes(), end.read_bytes() if end.exists() else None)

    def until_ended(self, execution_id: str) -> Said:
        return self.until_said(execution_id, "end")

    def until_said(self, execution_id: str, kind: str) -> Said:
        return until(lambda: self._if_said(execution_id, kind), f"a {kind} frame")

    def _if_said(self, execution_id: str, kind: str) -> Said | None:
        try:
            said = self.read(execution_id)
        except FileNotFoundError:
            return None
        return said if kind in said.kinds else None


class Template:
    """One template process and a connection to it."""

    def __init__(self, directory: Path, module: str = "sample_jobs", **env: str) -> None:
        (directory / "spool").mkdir(exist_ok=True)
        self.spool = Spool(directory / "spool")
        self.path = str(directory / "template.sock")
        self._log = (directory / "template.log").open("wb")
        command = ["-m", "klassd.workflows.worker", "template", "--module", module, "--spool", str(self.spool.path)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--socket", self.path],
            env=environment(**env),
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )
        self.directory = directory
        self.link = self.connect()
        self.hello = self.link.wait("hello")

    def connect(self) -> Link:
        sock = socket.socket(socket.AF_UNIX)

        def reached() -> bool:
            assert self.process.poll() is None, (self.directory / "template.log").read_text()
            try:
                sock.connect(self.path)
            except OSError:
                return False
            return True

        try:
            until(reached, "a connection to the template")
        except BaseException:
            sock.close()
            raise
        return Link(sock)

    def launch(self, job: str | Order, **more: Any) -> str:
        wanted = order(job, **more) if isinstance(job, str) else job
        self.link.send(op="launch", order=msgspec.to_builtins(wanted))
        said = self.link.wait("launched", "refused", id=wanted.execution_id)
        assert said["op"] == "launched", said
        return wanted.execution_id

    def run(self, job: str | Order, **more: Any) -> Said:
        """Launch it and wait for its end."""
        execution_id = self.launch(job, **more)
        self.link.wait("ended", id=execution_id)
        said = self.spool.read(execution_id)
        assert said.kinds[-1] == "end" and said.record is None  # the file is for where the frame found no room
        return said

    def stop(self, execution_id: str, grace: float = 5.0) -> None:
        self.link.send(op="stop", id=execution_id, grace=grace)

    def close(self) -> None:
        self.link.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._log.close()


class Link:
    """A connection as a scheduler has it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""
        self._heard: list[dict[str, Any]] = []

    def send(self, **said: Any) -> None:
        self.sock.sendall(msgspec.json.encode(said) + b"\n")

    def wait(self, *ops: str, **fields: Any) -> dict[str, Any]:
        """The next word of such an operation; others stay to be waited for."""

        def wanted(said: dict[str, Any]) -> bool:
            return said["op"] in ops and all(said.get(name) == value for name, value in fields.items())

        deadline = time.monotonic() + PATIENCE
        while not any(map(wanted, self._heard)):
            assert time.monotonic() < deadline, f"never heard {ops} {fields}, but {self._heard[-5:]}"
            self._hear(0.1)
        found = next(filter(wanted, self._heard))
        self._heard.remove(found)
        return found

    def _hear(self, timeout: float) -> None:
        if not select.select([self.sock], [], [], timeout)[0]:
            return
        data = self.sock.recv(1 << 20)
        assert data, "the template has gone away"
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._heard += map(json.loads, lines)

    def close(self) -> None:
        self.sock.close()


class Runner:
    """``python -m klassd.workflows.worker run``."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.spool = Spool(directory)

    def start(self, wanted: Order, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "klassd.workflows.worker", "run", "--spool", str(self.spool.path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"env": environment(), **options},
        )
        assert process.stdin
        process.stdin.write(msgspec.json.encode(wanted))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, job: str | Order, code: int | None = None, **more: Any) -> Said:
        wanted = order(job, **more) if isinstance(job, str) else job
        process = self.start(wanted)
        _, error = process.communicate(timeout=PATIENCE)
        if code is not None:
            assert process.returncode == code, error.decode()
        return self.spool.read(wanted.execution_id)

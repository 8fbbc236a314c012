"""What the tests of the local executor stand on."""

import errno
import os
import time
import zlib
from pathlib import Path

import msgspec

from klassd.workflows.executors.local import LocalExecutor, identity
from klassd.workflows.executors.local.spool import Spool
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End
from klassd.workflows.testing import executors

NONCE = "0123456789abcdef" * 2


class Writer:
    """A spool file as a supervisor writes it."""

    def __init__(self, directory, execution_id="x"):
        self.directory, self.execution_id = str(directory), execution_id
        self.path = os.path.join(self.directory, f"{execution_id}.log")
        self.seq = 0
        self.line = 1
        open(self.path, "wb").close()
        self.say("hello", v="9.9", boot="b", pid=1, start=2, sock="")
        self.say("start", pid=3, start=4)

    def frame(self, kind, **body):
        self.seq += 1
        return encode(NONCE, self.seq - 1, kind, 1_000_000 * self.seq, dumps(body))

    def write(self, data):
        with open(self.path, "ab") as file:
            file.write(data)

    def say(self, kind, **body):
        self.write(self.frame(kind, **body))

    def out(self, *lines):
        self.write(self.out_frame(*lines))

    def out_frame(self, *lines):
        frame = self.frame("out", l=self.line, n=len(lines), s=1, x="".join(line + "\n" for line in lines))
        self.line += len(lines)
        return frame

    def end(self, outputs=(), **said):
        manifest = {name: (len(text), f"{zlib.crc32(text):08x}") for name, text in outputs}
        end = End(result="success", outputs=manifest, lines=self.line - 1, finished_at=99.0)
        return msgspec.to_builtins(msgspec.structs.replace(end, **said))

    def spool(self, cursor="", seq=0, line=1):
        return Spool(self.directory, self.execution_id, cursor, seq, line)


class Place:
    """A state directory, its executors and its witnesses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = str(path / "state")
        self.spools = os.path.join(self.state, "spool")
        self.witness = str(path / "witness")

    def executor(self, **options):
        return executors.opened(LocalExecutor(self.state, **options))

    def gate(self, name="gate"):
        path = str(self.path / name)
        os.mkfifo(path)
        return path

    def order(self, job, inputs=None, **more):
        return executors.order(job, inputs, **{"module": "local_jobs"} | more)

    def noted(self):
        return [line.split() for line in Path(self.witness).read_text().splitlines()]

    def write_spool(self, execution_id, data):
        Path(self.spools, f"{execution_id}.log").write_bytes(data)

    def write_end(self, execution_id, end):
        Path(self.spools, f"{execution_id}.end").write_bytes(msgspec.json.encode(end))

    def introduced(self, execution_id):
        """Its supervisor's hello and its job's process."""
        spool = Spool(self.spools, execution_id)
        spool.peek()
        return spool.hello, spool.job


def open_gate(path):
    """For whoever waits behind it, who may not have come yet."""

    def try_it():
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            assert error.errno == errno.ENXIO  # nobody reads
            return False
        return True

    wait_until(try_it)


def wait_until(condition, seconds=10.0):
    """For what no descriptor tells of: the end of a process that is not our child."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.005)


def is_gone(pid):
    return identity.find(int(pid)) is None

"""What the tests of the local executor stand on."""

import errno
import os
import time
from pathlib import Path

import msgspec

from klassd.workflows.executors.local import LocalExecutor, identity
from klassd.workflows.executors.local.spool import Spool
from klassd.workflows.testing import executors


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

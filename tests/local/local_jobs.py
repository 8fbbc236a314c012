"""Jobs of these tests. A gate is a FIFO: opening it to read blocks until the test opens it to write."""

import os
import subprocess
import sys

from klassd.workflows import Job


def note(witness, *words):
    """A record that does not pass through anything under test."""
    fd = os.open(witness, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    os.close(fd)


class Notes(Job):
    witness: str

    def run(self, ctx):
        note(self.witness, ctx.execution_id)


class Gated(Job):
    gate: str
    witness: str

    def run(self, ctx):
        note(self.witness, ctx.execution_id, os.getpid())
        print("before", flush=True)
        with open(self.gate) as gate:
            gate.read()
        print("after", flush=True)
        return os.getpid()


class Litters(Job):
    """Leaves a child in its group and one that has fled into a session of its own; both would run for ever."""

    gate: str
    witness: str

    def run(self, ctx):
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        children = [subprocess.Popen(command), subprocess.Popen(command, start_new_session=True)]
        note(self.witness, os.getpid(), *(child.pid for child in children))
        print("before", flush=True)
        with open(self.gate) as gate:
            gate.read()


class Environment(Job):
    def run(self, ctx):
        return dict(os.environ)


class Standing(Job):
    """Where it stands among the processes, and what it has open."""

    def run(self, ctx):
        supervisor = os.getppid()
        return {
            "sessions": [os.getsid(0), os.getsid(supervisor)],
            "stdin": os.readlink("/proc/self/fd/0"),
            "fds": [os.readlink(f"/proc/{supervisor}/fd/{fd}") for fd in os.listdir(f"/proc/{supervisor}/fd")],
        }

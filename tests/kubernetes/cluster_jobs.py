"""Jobs for the tests on a real cluster: in the image and here, so that both sides know them by the same name."""

from __future__ import annotations

import os
import threading

from klassd.workflows import Job, JobContext
from klassd.workflows.errors import JobCancelled


class Steps(Job):
    """Draws a bar to its end."""

    count: int = 20

    def run(self, ctx: JobContext) -> int:
        for number in ctx.track(range(self.count)):
            print(f"step {number + 1}")
        return self.count


class Broken(Job):
    def run(self, ctx: JobContext) -> None:
        print("about to break")
        raise RuntimeError("the disk is on fire")


class Sleeper(Job):
    """Until it is stopped."""

    def run(self, ctx: JobContext) -> None:
        print("sleeping", flush=True)
        try:
            threading.Event().wait()
        except JobCancelled:
            print("woken", flush=True)
            raise


class WhoAmI(Job):
    def run(self, ctx: JobContext) -> dict[str, int]:
        return {"user": os.getuid(), "group": os.getgid()}


class Hungry(Job):
    """Takes more memory than it may. ``whole``: the supervisor too, as when the kernel kills the whole container."""

    def run(self, ctx: JobContext) -> int:
        print("eating", flush=True)
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1024) * 4096))


class Talkative(Job):
    """Says a number of lines and returns which pod it was."""

    lines: int = 200

    def run(self, ctx: JobContext) -> str:
        for number in range(self.lines):
            print(f"line {number}")
            if number % 20 == 0:
                threading.Event().wait(0.05)
        return os.environ.get("HOSTNAME", "")


class Unlucky(Job):
    """Fails at its first attempt."""

    def run(self, ctx: JobContext) -> int:
        if ctx.attempt == 1:
            raise RuntimeError("unlucky")
        return ctx.attempt

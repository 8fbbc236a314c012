"""The jobs of the executor conformance suite: each shows one thing a worker does. They need nothing but the package."""

# ruff: noqa: T201 - printing is what these jobs are for

from __future__ import annotations

import os
import signal
import threading

from klassd.workflows.context import JobContext
from klassd.workflows.errors import JobCancelled
from klassd.workflows.job import Job


class Echo(Job):
    text: str = "hello"

    def run(self, ctx: JobContext) -> str:
        print(self.text)
        return self.text


class Lines(Job):
    """Its progress comes between its lines."""

    count: int
    width: int = 20

    def run(self, ctx: JobContext) -> int:
        for number in range(1, self.count + 1):
            print(f"{number} ".ljust(self.width, "."))
            if number % 500 == 1:
                ctx.progress(100.0 * number / self.count)
        return self.count


class Outputs(Job):
    size: int

    def run(self, ctx: JobContext) -> str:
        ctx.set_output("large", "é" * self.size)
        ctx.progress(50.0, "half")
        return "done"


class Fails(Job):
    def run(self, ctx: JobContext) -> None:
        print("about to fail")
        raise ValueError("as it should")


class Exits(Job):
    code: int

    def run(self, ctx: JobContext) -> None:
        os._exit(self.code)


class Kills(Job):
    """Its own process, as the kernel does when memory runs out."""

    def run(self, ctx: JobContext) -> None:
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


class Waits(Job):
    """Until it is stopped."""

    def run(self, ctx: JobContext) -> None:
        print("waiting", flush=True)
        try:
            threading.Event().wait()
        except JobCancelled:
            print("stopped", flush=True)
            raise


class Stubborn(Job):
    """Does not listen when it is asked to stop."""

    def run(self, ctx: JobContext) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("waiting", flush=True)
        threading.Event().wait()

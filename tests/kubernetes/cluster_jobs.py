"""Jobs for the tests on a real cluster: in the image and here, so that both sides know them by the same name."""

from __future__ import annotations

import os
import socket
import threading

from klassd.workflows import App, Grow, Job, JobContext, Pod, Resources, Retry, Workflow
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
    """Takes more memory than it may."""

    def run(self, ctx: JobContext) -> int:
        print("eating", flush=True)
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1024) * 4096))


class Growing(Job, resources=Resources(memory="64Mi"), retry=Retry(0, backoff=1, on={"oom": Grow(memory=2, max="512Mi")})):
    """Needs more than twice what it may have at first, and less than four times."""

    def run(self, ctx: JobContext) -> int:
        hoard = [os.urandom(1024) * 1024 for _ in range(150)]
        return len(hoard)


class Talkative(Job):
    """Says a number of lines, slowly, and returns which pod it was."""

    number: int
    lines: int = 100

    def run(self, ctx: JobContext) -> str:
        for line in range(self.lines):
            print(f"{self.number}: line {line}")
            if line % 10 == 0:
                threading.Event().wait(0.2)
        return socket.gethostname()


class Unlucky(Job):
    """Fails at its first attempt."""

    def run(self, ctx: JobContext) -> int:
        if ctx.attempt == 1:
            raise RuntimeError("unlucky")
        return ctx.attempt


class Numbers(Job):
    count: int

    def run(self, ctx: JobContext) -> list[int]:
        return list(range(self.count))


class Shown(Job):
    names: list[str]

    def run(self, ctx: JobContext) -> int:
        return len(set(self.names))


MANY = 20  # pods of ``many``


def everything() -> Workflow:
    """A retry, a node that is omitted, and data between pods."""
    flow = Workflow("everything")
    lucky = flow.add("lucky", Unlucky(), retry=Retry(2))
    numbers = flow.add("numbers", Numbers(count=2), after=[lucky])
    items = flow.map("item", lambda number: Talkative(number=number, lines=5), over=numbers.output)
    shown = flow.add("shown", Shown(names=items.output))
    flow.add("rescue", Steps(count=1), when=numbers.failed)
    flow.returns(shown.output)
    return flow


def many() -> Workflow:
    flow = Workflow("many")
    numbers = flow.add("numbers", Numbers(count=MANY))
    items = flow.map("item", lambda number: Talkative(number=number), over=numbers.output)
    shown = flow.add("shown", Shown(names=items.output))
    flow.returns(shown.output)
    return flow


def no_image() -> Workflow:
    flow = Workflow("no-image")
    flow.add("steps", Steps(count=1), pod=Pod(image="registry.invalid/none:1"), start_deadline="6s")
    return flow


app = App(jobs=[Steps, Broken, Sleeper, Growing, everything(), many(), no_image()])

"""The jobs that are measured."""

from __future__ import annotations

import os
import time

from klassd.workflows import App, Job, JobContext, Workflow


class Trivial(Job):
    """Returns the pid of its process, so that a run can show that each had one of its own."""

    number: int

    def run(self, ctx: JobContext) -> int:
        return os.getpid()


class Clock(Job):
    """The time at the first line of user code."""

    def run(self, ctx: JobContext) -> float:
        return time.monotonic()


class Talk(Job):
    lines: int

    def run(self, ctx: JobContext) -> None:
        for number in range(1, self.lines + 1):
            print(line(number))


def line(number: int) -> str:
    return f"{number} of many lines, each about as long as a line of a log is"


def fan_out(items: int) -> Workflow:
    workflow = Workflow(f"fan-out-{items}")
    workflow.map("item", lambda number: Trivial(number=number), over=list(range(items)))
    return workflow


app = App(jobs=[Trivial, Clock, Talk])

"""The jobs that are measured, in the image and here."""

from __future__ import annotations

import os
import time

from benchmarks.jobs import Talk
from klassd.workflows import App, Job, JobContext, Pod, Workflow

IMPORTED = time.time()


class Clock(Job):
    """When its pod's process began, when this module was imported, and when its first line ran."""

    def run(self, ctx: JobContext) -> dict[str, float]:
        return {"process": _process_began(), "imported": IMPORTED, "run": time.time()}


class Trivial(Job):
    number: int

    def run(self, ctx: JobContext) -> int:
        return self.number


class Stuck(Job, pod=Pod(node_selector={"klassd.dev/bench": "nowhere"})):
    """No node is good enough for it."""

    number: int

    def run(self, ctx: JobContext) -> None:
        pass


def _process_began() -> float:
    """Of the supervisor, which is the first process of its container; to a hundredth of a second."""
    with open("/proc/1/stat") as stat, open("/proc/uptime") as uptime:
        since_boot = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - float(uptime.read().split()[0]) + since_boot


def fan_out(items: int) -> Workflow:
    workflow = Workflow(f"fan-out-{items}")
    workflow.map("item", lambda number: Trivial(number=number), over=list(range(items)))
    return workflow


app = App(jobs=[Clock, Trivial, Talk, Stuck])

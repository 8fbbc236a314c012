"""The jobs that are tortured. Their lines say whose they are and which."""

from __future__ import annotations

import sys
import time

from klassd.workflows import Job, JobContext, Retry, Workflow
from proof.witness import attested

STUBBORN = Retry(100, backoff="20ms..500ms", infrastructure=100)  # torture kills the same task again and again
STAMP = 1000  # lines between two words to the witness


def line(execution_id: str, number: int) -> str:
    return f"{execution_id} {number}"


class Prints(Job, retry=STUBBORN):
    """``hold``: seconds it waits in the middle, there to be killed; ``fails``: attempts that raise at the end."""

    lines: int = 10
    hold: float = 0.0
    fails: int = 0

    def run(self, ctx: JobContext) -> int:
        with attested(ctx) as said:
            for number in range(self.lines):
                print(line(ctx.execution_id, number))
                if number % STAMP == STAMP // 2:
                    sys.stdout.flush()
                    said(number + 1)
            sys.stdout.flush()
            said(self.lines)
            time.sleep(self.hold)
            if ctx.attempt <= self.fails:
                raise RuntimeError("as it was told to")
        return self.lines


class Sizes(Job, retry=STUBBORN):
    sizes: list[int]

    def run(self, ctx: JobContext) -> list[int]:
        with attested(ctx):
            return self.sizes


class Total(Job, retry=STUBBORN):
    sizes: list[int]

    def run(self, ctx: JobContext) -> int:
        with attested(ctx) as said:
            print(line(ctx.execution_id, 0))
            said(1)
            return sum(self.sizes)


def fan(sizes: list[int], fails: int = 0, hold: float = 0.0) -> Workflow:
    """A fan-out with a job after it. Every item waits ``hold`` seconds and fails ``fails`` times."""
    flow = Workflow("fan")
    found = flow.add("sizes", Sizes(sizes=sizes))
    items = flow.map("prints", lambda lines: Prints(lines=lines, fails=fails, hold=hold), over=found.output)
    total = flow.add("total", Total(sizes=items.output))
    flow.returns(total.output)
    return flow

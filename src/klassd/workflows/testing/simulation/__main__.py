"""``python -m klassd.workflows.testing.simulation --seeds 0..1999``: 1 is returned where a promise was broken."""

from __future__ import annotations

import argparse
import sys
import time

from klassd.workflows.testing.simulation.batch import batch
from klassd.workflows.testing.simulation.shrink import shrink
from klassd.workflows.testing.simulation.simulate import STEPS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m klassd.workflows.testing.simulation", description="Simulate the engine.")
    parser.add_argument("--seeds", default="0..99", metavar="FIRST..LAST", help="one number or a range (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="events with faults, per seed (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=None, help="how many at once (default: one per core)")
    given = parser.parse_args(arguments)
    first, _, last = given.seeds.partition("..")
    began = time.monotonic()
    came = batch(range(int(first), int(last or first) + 1), steps=given.steps, processes=given.processes)
    seconds = time.monotonic() - began
    for seed in list(came.violations)[:1]:
        print(f"seed {seed}, shrunk:\n{shrink(seed, steps=given.steps)}\n")
    print(came)
    print(f"{seconds:.0f} s")
    return 0 if came.good else 1


if __name__ == "__main__":
    sys.exit(main())

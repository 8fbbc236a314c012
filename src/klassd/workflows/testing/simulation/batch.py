"""Many seeds, a process per core."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from klassd.workflows.testing.simulation.faults import KINDS
from klassd.workflows.testing.simulation.simulate import STEPS, simulate

Outcome = tuple[object, int, float, int, Counter[str], str]  # seed, events, seconds, runs, faults, violation


@dataclass
class Batch:
    """What a number of seeds came to."""

    seeds: int = 0
    events: int = 0
    fewest: int = 0  # events of one seed
    seconds: float = 0.0  # of virtual time
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: dict[object, str] = field(default_factory=dict)  # by seed

    def add(self, outcome: Outcome) -> None:
        seed, events, seconds, runs, faults, violation = outcome
        self.fewest = min(self.fewest, events) if self.seeds else events
        self.seeds += 1
        self.events += events
        self.seconds += seconds
        self.runs += runs
        self.faults += faults
        if violation:
            self.violations[seed] = violation

    @property
    def silent(self) -> list[str]:
        """Kinds of faults that never struck: what they would have shown, this batch does not."""
        return [kind for kind in KINDS if not self.faults[kind]]

    @property
    def good(self) -> bool:
        return not self.violations and not self.silent

    def __str__(self) -> str:
        seeds = f"{self.seeds:,} seeds, {self.events:,} events, {self.runs:,} runs, {self.seconds / 86400:,.1f} virtual days"
        lines = [
            *(f"  {kind:22} {self.faults[kind]:9,}" for kind in KINDS),
            *(f"seed {seed}: {violation}" for seed, violation in self.violations.items()),
            *(f"{kind} never happened" for kind in self.silent),
            f"{seeds}, {self.faults.total():,} faults: {len(self.violations)} violations",
        ]
        return "\n".join(lines)


def outcome(seed: object, steps: int = STEPS) -> Outcome:
    came = simulate(seed, steps=steps)
    violation = str(came.violations[0]) if came.violations else ""
    return seed, came.events, came.seconds, came.runs, came.faults, violation


def batch(seeds: Iterable[int], *, steps: int = STEPS, processes: int | None = None) -> Batch:
    """``processes``: one per core if not given; 1: in this process."""
    total = Batch()
    if processes == 1:
        for seed in seeds:
            total.add(outcome(seed, steps))
        return total
    with multiprocessing.get_context("spawn").Pool(processes or os.cpu_count()) as pool:
        for each in pool.imap(partial(outcome, steps=steps), seeds, chunksize=10):
            total.add(each)
    return total

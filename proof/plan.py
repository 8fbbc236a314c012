"""How much torture, and which work: all of it drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from klassd.workflows import Workflow
from proof.jobs import Prints, fan

ITEMS = 20  # of one fan-out
FEW = 10  # lines of most jobs
MANY = 0.02  # of all jobs print many lines
WAITS = 0.4  # ... wait a moment in the middle, so that there is something to kill
FAILS = 0.05  # ... raise in their first attempt


@dataclass(frozen=True)
class Plan:
    seed: int = 1
    kills: int = 1000  # of schedulers
    jobs: int = 20_000
    lines: int = 2_000_000
    seconds: float = 3600.0  # after which nothing new is begun
    pause: float = 0.6  # seconds between two blows, about
    lease: float = 1.0
    concurrency: int = 6  # of each of two schedulers
    backlog: int = 300  # jobs waiting at most

    def work(self) -> Iterator[tuple[Workflow | Prints, int]]:
        """What is enqueued, each with its number of jobs: one half alone, the other half in fan-outs."""
        dice, left = random.Random(self.seed), self.jobs
        while left > 0:
            if dice.random() < ITEMS / (2 * ITEMS + 2):
                count = min(ITEMS, left)
                yield fan([self._lines(dice) for _ in range(count)], fails=int(dice.random() < FAILS)), count + 2
                left -= count + 2
                continue
            for _ in range(min(ITEMS, left)):
                hold = dice.uniform(0.2, 1.0) if dice.random() < WAITS else 0.0
                yield Prints(lines=self._lines(dice), hold=hold, fails=int(dice.random() < FAILS)), 1
                left -= 1

    def _lines(self, dice: random.Random) -> int:
        many = max(FEW, int((self.lines / self.jobs - FEW * (1 - MANY)) / MANY))
        return many if dice.random() < MANY else dice.randint(0, 2 * FEW)

"""The stores against a model of them, at length: ``python -m proof.machines EXAMPLES STEPS``."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from klassd.workflows.ports import Store
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.stores.sqlite import SqliteStore
from klassd.workflows.testing.clock import FakeClock
from klassd.workflows.testing.store_checks.machine import explore
from klassd.workflows.testing.stores import StoreConformance


class OnFakeTime(StoreConformance):
    def __init__(self, directory: Path) -> None:
        self.clock, self.directory, self.made = FakeClock(), directory, itertools.count()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class InMemory(OnFakeTime):
    def factory(self) -> Callable[[], Store]:
        data = MemoryData()
        return lambda: MemoryStore(clock=self.clock, data=data)


class InSqlite(OnFakeTime):
    def factory(self) -> Callable[[], Store]:
        path = self.directory / f"{next(self.made)}.db"
        return lambda: SqliteStore(path, clock=self.clock)


def main(examples: int, steps: int) -> None:
    for name, suite in {"memory": InMemory, "sqlite": InSqlite}.items():
        with tempfile.TemporaryDirectory() as directory:
            explore(suite(Path(directory)), examples, steps)
        print(f"{name}: {examples:,} sequences of up to {steps} operations agree with the model")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""Both stores pass the published suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from klassd.workflows.ports import Store
from klassd.workflows.stores.memory import MemoryData, MemoryStore
from klassd.workflows.stores.sqlite import SqliteStore
from klassd.workflows.testing.clock import FakeClock
from klassd.workflows.testing.stores import StoreConformance


class OnFakeTime(StoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.clock, self.path = FakeClock(), tmp_path / "klassd.db"

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestMemoryStore(OnFakeTime):
    def factory(self) -> Callable[[], Store]:
        data = MemoryData()
        return lambda: MemoryStore(clock=self.clock, data=data)


class TestSqliteStore(OnFakeTime):
    def factory(self) -> Callable[[], Store]:
        return lambda: SqliteStore(self.path, clock=self.clock)


del OnFakeTime  # not a suite of its own

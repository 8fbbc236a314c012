"""Both stores pass the published suite."""

from __future__ import annotations

import itertools
import subprocess
import sys
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
        self.clock, self.path, self.made = FakeClock(), tmp_path, itertools.count()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestMemoryStore(OnFakeTime):
    model_examples = 60

    def factory(self) -> Callable[[], Store]:
        data = MemoryData()
        return lambda: MemoryStore(clock=self.clock, data=data)


class TestSqliteStore(OnFakeTime):
    def factory(self) -> Callable[[], Store]:
        path = self.path / f"{next(self.made)}.db"
        return lambda: SqliteStore(path, clock=self.clock)


del OnFakeTime  # not a suite of its own


def test_without_hypothesis_its_one_check_says_what_to_install_and_the_others_do_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("klassd.workflows.testing.store_checks.machine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    suite = TestMemoryStore()
    with pytest.raises(ModuleNotFoundError, match="pip install hypothesis"):
        suite.test_any_sequence_of_operations_does_what_a_model_of_dictionaries_does()
    command = "import sys; sys.modules['hypothesis'] = None; import klassd.workflows.testing.stores"
    subprocess.run([sys.executable, "-c", command], check=True)

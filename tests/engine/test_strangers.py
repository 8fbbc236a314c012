"""What runs and stands in no row: after the restore of an older backup it is listed, and nobody touches it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from test_keeper_take_over import scheduler

from klassd.workflows.client import Client
from klassd.workflows.engine.scheduler import TIDY
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Inhabited(InlineExecutor):
    """There are executions of a store that is not this one."""

    def __init__(self, clock: VirtualClock, *there: str) -> None:
        super().__init__(clock)
        self.there = list(there)
        self.touched: list[str] = []

    async def unreaped(self) -> Sequence[str]:
        return self.there

    async def stop(self, execution_id: str, grace: float) -> None:
        self.touched.append(execution_id)

    async def reap(self, execution_id: str) -> None:
        self.touched.append(execution_id)


@pytest.mark.fault("C13")
def test_executions_that_the_store_does_not_know_are_listed_once_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = MemoryStore(clock=clock), Inhabited(clock, "old-0-0-1", "old-0-1-1")
        async with Client(store, clock, SystemIds(), TaskSpawner()), scheduler(store, executor, clock, TaskSpawner()):
            await clock.sleep(3 * TIDY)
            executor.there.append("old-0-2-1")
            await clock.sleep(2 * TIDY)
        assert executor.touched == []

    run_virtual(scenario())
    said = [record.getMessage() for record in caplog.records if "does not know" in record.getMessage()]
    assert [text.rpartition(": ")[2] for text in said] == ["old-0-0-1, old-0-1-1", "old-0-2-1"]
    assert said[0].startswith("2 execution(s)")


@pytest.mark.fault("C13")
def test_of_very_many_a_few_are_named(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = MemoryStore(clock=clock), Inhabited(clock, *(f"old-0-{index:04}-1" for index in range(2000)))
        async with Client(store, clock, SystemIds(), TaskSpawner()), scheduler(store, executor, clock, TaskSpawner()):
            await clock.sleep(1.0)

    run_virtual(scenario())
    (said,) = [record.getMessage() for record in caplog.records if "does not know" in record.getMessage()]
    assert said.endswith("old-0-0009-1 and 1,990 more")

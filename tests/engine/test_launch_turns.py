"""Launches that have to wait for their turn, because the executor takes few of them at once."""

import pytest
from test_keeper_take_over import scheduler, until

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.engine.scheduler import LEASE
from klassd.workflows.executors.kubernetes import KubernetesExecutor
from klassd.workflows.order import Order
from klassd.workflows.ports import TakesFew
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual

MANY, FEW, TAKES = 60, 4, 2.0  # the last one's turn is two leases later


class Quick(Job):
    number: int

    async def run(self, ctx: JobContext) -> None: ...


class Slow(InlineExecutor):
    """Takes a few launches at once, each for its time, as an API does that is behind."""

    launches_at_once = FEW

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, concurrency=MANY)
        self._here, self.most, self._taking = clock, 0, 0
        self.left: list[float] = []  # seconds until their orders expired, when it was their turn

    async def launch(self, order: Order) -> None:
        self._taking += 1
        self.most = max(self.most, self._taking)
        assert order.expires is not None
        self.left.append(order.expires - self._here.monotonic())
        await self._here.sleep(TAKES)
        self._taking -= 1
        await super().launch(order)


def test_an_order_gets_its_expiry_when_it_is_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = MemoryStore(clock=clock), Slow(clock)
        assert MANY / FEW * TAKES >= 2 * LEASE
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client, scheduler(store, executor, clock, TaskSpawner()):
            await client.enqueue_many(Quick(number=number) for number in range(MANY))
            await until(clock, lambda: len(executor.executions) == MANY and all(x.reaped for x in executor.executions.values()))
        assert executor.most == FEW
        assert len(executor.left) == MANY and min(executor.left) > LEASE / 3
        assert "cannot start now" not in caplog.text

    run_virtual(scenario())


def test_pods_are_launched_in_turns() -> None:
    assert isinstance(KubernetesExecutor(), TakesFew)

"""Which orders get a secret to claim their start with."""

from test_keeper_take_over import scheduler

from klassd.workflows import Container, Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.order import Order
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Quick(Job):
    async def run(self, ctx: JobContext) -> None: ...


class Claiming(InlineExecutor):
    claims_starts = True

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.secrets: dict[str, str] = {}

    async def launch(self, order: Order) -> None:
        self.secrets[order.run_id] = order.claim
        await super().launch(order)


def test_a_job_gets_one_and_an_image_that_could_not_claim_gets_none() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        store, executor = MemoryStore(clock=clock), Claiming(clock)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client, scheduler(store, executor, clock, TaskSpawner()):
            job, image = await client.enqueue(Quick()), await client.enqueue(Container("busybox:1", key="busybox"))
            for run_id in (job, image):
                await client.wait(run_id)
            kept = [len(each.token_hashes) for run_id in (job, image) async for each in client.executions(run_id)]
        assert len(executor.secrets[job]) == 64 and executor.secrets[image] == ""
        assert kept == [1, 0]

    run_virtual(scenario())

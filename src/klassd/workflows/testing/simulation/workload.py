"""What applications do: enqueue all kinds of work, ask again when no answer came, cancel at any moment, run again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from random import Random
from typing import Any

import msgspec

from klassd.workflows.client import Client
from klassd.workflows.errors import StoreError
from klassd.workflows.model.workflow import Definition, Node
from klassd.workflows.options import Options, RetryPolicy
from klassd.workflows.testing.simulation.faults import Faults
from klassd.workflows.testing.simulation.graphs import random_workflow, with_services
from klassd.workflows.testing.simulation.jobs import ENDLESS
from klassd.workflows.testing.simulation.process import SimProcess
from klassd.workflows.workflow import Workflow

QUEUES = ("default", "default", "small")
QUEUE_CAPS = {"small": 2}
MOST = 7  # runs under way at once
DEFINITIONS = 6  # of each seed: others come again, as in life


class Fixed(Workflow):
    """A workflow whose definition is at hand."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition.name)
        self._definition = definition

    def definition(self, app: str = "") -> Definition:
        return self._definition

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return dict(params)


def options(rng: Random) -> tuple[Options, ...]:
    return tuple(_options(rng) for _ in range(4))


def _options(rng: Random) -> Options:
    drawn = Options(
        timeout=rng.choice((None, None, 5.0, 30.0)),
        grace=rng.choice((0.5, 3.0)),
        start_deadline=rng.choice((None, None, None, 1.0, 20.0)),
        retry=RetryPolicy(times=rng.choice((0, 0, 1, 2)), first=rng.choice((0.1, 2.0, 20.0))),
        queue=rng.choice(QUEUES),
        priority=rng.choice((0, 0, 5)),
    )
    if (lost_after := Random(repr(drawn)).choice((None, None, 3.0, 20.0))) is None:
        return drawn
    return msgspec.structs.replace(drawn, lost_after=lost_after, retry=msgspec.structs.replace(drawn.retry, infrastructure=1))


class Workload:
    """``only``: the numbers of the items that are enqueued at all. Item n is the same whatever became of the others."""

    def __init__(self, seed: object, process: SimProcess, client: Client, faults: Faults, only: Collection[int] | None) -> None:
        self._seed, self._process, self._client, self._faults = seed, process, client, faults
        self._only = only
        self._under_way = 0
        self._endless: list[str] = []
        self._stopped = False
        self.items = 0
        rng = Random(f"{seed}/definitions")
        self._definitions = [self._definition(rng, number) for number in range(DEFINITIONS)]

    def _definition(self, rng: Random, number: int) -> Fixed:
        if rng.random() < 0.3:
            node = Node("job", "Job", "sim:Job", options=_options(rng))
            return Fixed(Definition("job", (node,), kind="job", returns={"$ref": "job", "path": []}))
        plain = random_workflow(rng, options(rng))
        serving = Random(f"{self._seed}/services/{number}")  # of its own: other definitions stay what they were
        return Fixed(with_services(serving, plain, share=0.9) if serving.random() < 0.5 else plain)

    # -- while the simulation runs --------------------------------------------------------------------------------

    async def go_on(self) -> None:
        """Keep a few runs under way, for ever."""
        rng = Random(f"{self._seed}/workload")
        sleep = self._process.clock.sleep
        while not self._stopped:
            number, self.items = self.items, self.items + 1
            if self._only is None or number in self._only:
                self._under_way += 1
                self._process.spawn(self._item(number), f"item {number}")
            await sleep(rng.random() * rng.choice((0.1, 1.0, 5.0)))
            while self._under_way >= MOST and not self._stopped:
                await sleep(0.5)

    async def _item(self, number: int) -> None:
        rng = Random(f"{self._seed}/item {number}")
        cancel_after = rng.random() * rng.choice((0.3, 3.0, 30.0)) if rng.random() < 0.25 else None
        run_id = await self._enqueue(rng, number, cancel_after is not None)
        if run_id is not None:
            if cancel_after is not None:
                self._endless.append(run_id)
                await self._process.clock.sleep(cancel_after)
                await self._cancel(run_id)
            await self._wait(run_id)
            if rng.random() < 0.1:
                await self._rerun(run_id)
        self._under_way -= 1

    async def _enqueue(self, rng: Random, number: int, endless: bool) -> str | None:
        """With a key it asks until it is answered; without one it cannot know what became of a call without an answer."""
        key = f"key {number}" if rng.random() < 0.7 else None
        work = rng.choice(self._definitions)
        delay = rng.random() * 20.0 if rng.random() < 0.1 else None
        tags = (f"item {number}", ENDLESS) if endless and key else (f"item {number}",)
        queue, priority = rng.choice(QUEUES), rng.choice((0, 5))
        while True:
            try:
                run_id = await self._client.enqueue(
                    work, unique_key=key, delay=delay, tags=tags, queue=queue, priority=priority
                )
                if key is None or not self._faults.strikes_now(rng, "app.crash", 0.05):
                    return run_id
            except StoreError:
                if key is None:
                    return None
            await self._process.clock.sleep(0.1)

    async def _cancel(self, run_id: str) -> None:
        while True:
            try:
                await self._client.cancel(run_id)
                return
            except StoreError:
                await self._process.clock.sleep(0.1)

    async def _wait(self, run_id: str) -> None:
        while True:
            try:
                if (await self._client.run(run_id)).status.final:
                    return
            except StoreError:
                pass
            await self._process.clock.sleep(5.0)

    async def _rerun(self, run_id: str) -> None:
        """Its answer may be lost, and it has no key: then nobody knows the new run, and it ends all the same."""
        try:
            again = await self._client.rerun(run_id)
        except StoreError:
            return
        if run_id in self._endless:
            await self._cancel(again)

    # -- in the end -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        self._stopped = True

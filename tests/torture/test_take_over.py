"""A scheduler with its hands full takes over what nobody else looks after."""

from __future__ import annotations

from pathlib import Path

import pytest

from klassd.workflows.client import Client
from klassd.workflows.model.states import RunStatus
from proof.jobs import Prints
from proof.place import Place, end, ended, owner_of, until

SLOTS = 2


@pytest.mark.fault("A6", "D3")
def test_runs_of_a_dead_scheduler_are_taken_over_by_one_that_has_no_slot_free(place: Path) -> None:
    shelter = Place(place, f"sqlite:///{place}/klassd.db", lease=1.0, concurrency=SLOTS)

    async def enqueue(client: Client) -> list[str]:
        return await client.enqueue_many([Prints(hold=1000) for _ in range(SLOTS)])

    async def cancel(client: Client) -> list[RunStatus]:
        for run_id in orphans:
            await client.cancel(run_id)
        return [(await client.wait(run_id)).status for run_id in orphans]

    orphans = shelter.ask(enqueue)
    first = shelter.scheduler()
    assert owner_of(first)
    until(lambda: len(shelter.testimony().starts) == SLOTS, 30.0)
    others = [run_id for _ in range(3) for run_id in shelter.ask(enqueue)]
    second = shelter.scheduler()
    assert owner_of(second)
    until(lambda: len(shelter.testimony().starts) == 2 * SLOTS, 30.0)
    first.kill()
    ended(first)

    assert shelter.ask(cancel) == [RunStatus.CANCELLED] * SLOTS

    orphans = others
    shelter.ask(cancel)
    assert end(second) == 0 and shelter.left_over() == []

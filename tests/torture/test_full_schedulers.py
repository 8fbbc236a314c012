"""A scheduler with its hands full takes over what nobody else looks after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from klassd.workflows.client import Client
from klassd.workflows.model.states import RunStatus
from proof.jobs import Prints
from proof.place import Place, end, ended, owner_of, until

Make = Callable[[float, int], Place]
SLOTS = 2


@pytest.mark.fault("A6", "D3")
def test_runs_of_a_dead_scheduler_are_taken_over_by_one_that_has_no_slot_free(
    make_place: Callable[[float, int], Place],
) -> None:
    place = make_place(1.0, SLOTS)

    async def enqueue(client: Client) -> list[str]:
        return await client.enqueue_many([Prints(hold=1000) for _ in range(SLOTS)])

    async def cancel(client: Client) -> list[RunStatus]:
        for run_id in orphans:
            await client.cancel(run_id)
        async with asyncio.timeout(30.0):
            return [(await client.wait(run_id)).status for run_id in orphans]

    orphans = place.ask(enqueue)
    first = place.scheduler()
    assert owner_of(first)
    until(lambda: len(place.testimony().starts) == SLOTS, 30.0)
    others = [run_id for _ in range(3) for run_id in place.ask(enqueue)]
    second = place.scheduler()
    assert owner_of(second)
    until(lambda: len(place.testimony().starts) == 2 * SLOTS, 30.0)
    first.kill()
    ended(first)

    assert place.ask(cancel) == [RunStatus.CANCELLED] * SLOTS

    orphans = others
    place.ask(cancel)
    assert end(second) == 0 and place.left_over() == []

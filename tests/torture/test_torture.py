"""Real processes and real kills, for a minute at most; ``make prove`` does it at length."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from klassd.workflows.client import Client
from klassd.workflows.model.states import RunStatus
from proof.checks import Checks
from proof.jobs import fan
from proof.place import Place, end, owner_of
from proof.plan import Plan
from proof.torture import Torture

Make = Callable[[float, int], Place]


@pytest.mark.fault("A3", "A6", "A7", "A8", "A9", "A17", "B1", "B7", "D1", "D2", "D3", "D4", "D19")
def test_whatever_is_killed_nothing_is_lost_started_twice_or_left_behind(path: Path) -> None:
    plan = Plan(seed=20, kills=30, jobs=800, lines=60_000, seconds=35.0, pause=0.5)
    report = asyncio.run(Torture(path, plan).run())
    assert report.problems == []
    assert report.blows["kill scheduler"] >= 5 and report.attempts >= 50 and report.lines >= 500


@pytest.mark.fault("D20")
def test_a_scheduler_with_few_descriptors_puts_launches_off_and_uses_up_no_attempt(
    make_place: Callable[[float, int], Place],
) -> None:
    place = make_place(5.0, 40)
    run_id = place.ask(lambda client: client.enqueue(fan([3] * 60, hold=0.2)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))  # inherited by the scheduler, and by its template
    try:
        scheduler = place.scheduler()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert owner_of(scheduler)
    run = place.ask(lambda client: client.wait(run_id))
    assert end(scheduler) == 0
    assert "cannot start now" in place.log.read_text()
    checks = Checks(place.testimony())

    async def check(client: Client) -> list[int]:
        await checks.run(client, run_id)
        return [each.attempt async for each in client.executions(run_id)]

    assert place.ask(check) == [1] * 62
    assert run.status is RunStatus.SUCCEEDED and checks.done() == [] and place.left_over() == []

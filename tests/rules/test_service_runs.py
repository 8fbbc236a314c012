"""Services on random workflows: ready before they are used, stopped when nothing could use them, dead with what relied on them.

``World`` checks at every event that nothing starts before its service is ready or after its end, and when services are stopped.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from rules_graphs import Fates, random_workflow
from rules_world import FOR_GOOD, SUCCESS, World

from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.rules import graph
from klassd.workflows.rules.advance import Begun, Cancelled
from klassd.workflows.testing.simulation.graphs import with_services
from klassd.workflows.testing.simulation.reference import Reference

GRAPHS = 300


def drawn(rng: Random) -> Definition:
    while True:
        definition = with_services(rng, random_workflow(rng))
        if any(node.service for node in definition.nodes):
            assert graph.problems(definition) == []
            return definition


class Drive:
    """A run to its end, in random order. ``deaths``: how often a service that is ready dies while it is in use."""

    def __init__(self, rng: Random, definition: Definition, deaths: float = 0.0, crashes: float = 0.0) -> None:
        self.rng, self.deaths, self.crashes = rng, deaths, crashes
        self.fates = Fates(rng, definition)
        self.world = World(definition, self._fate, self.fates._params, self.fates.named, self.fates.world().call)
        self.died: set[str] = set()

    def _fate(self, name: str, index: int, attempt: int) -> Any:
        """Of a service, success means that it becomes ready, and stays so until it dies."""
        if name in self.died:
            return FOR_GOOD, None
        verdict, output = self.fates(name, index, attempt)
        return (verdict, None) if name in self.world.users else (verdict, output)

    def begin(self) -> World:
        self.world.send(Begun())
        return self.world

    def step(self) -> bool:
        """One thing happens. False: nothing can any more."""
        moves = [move for place in range(len(self.world.live)) for move in self._moves(place)]
        if not moves:
            return False
        self.rng.choice(moves)()
        if self.rng.random() < self.crashes:
            self.world.crash()
        return True

    def _moves(self, place: int) -> list[Any]:
        task = self.world.live[place]
        name = task[0]
        if name not in self.world.users or task in self.world.stopping or self._fate(*task)[0] is not SUCCESS:
            return [lambda: self.world.end(place)]
        if self.world.statuses[name] is not NodeStatus.READY:
            return [] if self.world.cancelled else [lambda: self.world.make_ready(name)]
        return [lambda: self._die(name, place)] if self.rng.random() < self.deaths else []

    def _die(self, name: str, place: int) -> None:
        self.died.add(name)
        self.world.end(place)

    def finish(self) -> World:
        while self.world.live:
            if not self.step():
                assert self.deaths, "services are up, nothing uses them, and nobody stops them"
        return self.world


@pytest.mark.parametrize("batch", range(4))
@pytest.mark.fault("A8", "F15")
def test_workflows_with_services_end_as_the_reference_says_whatever_the_order_and_the_crashes(batch: int) -> None:
    for number in range(GRAPHS):
        rng = Random(f"services/{batch}/{number}")
        drive = Drive(rng, drawn(rng), crashes=0.3)
        drive.begin()
        world, expected = drive.finish(), drive.fates.reference()
        assert world.statuses == expected.status, number
        assert (world.state.status, world.rows.run.output) == (expected.run, expected.output), number
        assert {name: each.next for name, each in world.state.nodes.items()} == expected.tasks, number


@pytest.mark.parametrize("batch", range(4))
@pytest.mark.fault("A8", "F15")
def test_whatever_services_die_and_when_the_run_ends_as_the_reference_says(batch: int) -> None:
    died = 0
    for number in range(GRAPHS):
        rng = Random(f"deaths/{batch}/{number}")
        drive = Drive(rng, drawn(rng), deaths=0.7, crashes=0.2)
        drive.begin()
        world = drive.finish()
        expected = of_rows(world, drive.fates)
        assert (world.statuses, world.state.status) == (expected.status, expected.run), number
        died += bool(drive.died)
    assert died > GRAPHS / 10


def of_rows(world: World, fates: Fates) -> Reference:
    """What the run must come to, seen how each of its tasks really ended."""
    last = {(row.node, row.index): row for row in sorted(world.rows.executions.values(), key=lambda row: row.attempt)}

    def final(name: str, index: int) -> tuple[bool | None, Any]:
        row = last.get((name, index))
        return (row is not None and row.status is ExecutionStatus.SUCCEEDED), row.output if row else None

    decided: dict[str, int] = {}
    failed: dict[str, int] = {}
    for number, delta in enumerate(world.decisions):
        for name in [start.node for start in delta.started] + [row.name for row in delta.nodes]:
            decided.setdefault(name, number)
        failed |= {row.name: number for row in delta.nodes if row.status is NodeStatus.FAILED}

    def outlived(service: str, name: str) -> bool:
        return service in failed and decided[name] < failed[service]

    return Reference(world.definition, final, params=fates._params, named=fates.named, call=world.call, outlived=outlived)


@pytest.mark.fault("A11", "F8", "F15")
def test_a_run_cancelled_at_any_step_stops_its_services_after_what_uses_them() -> None:
    for number in range(GRAPHS):
        rng = Random(f"cancel services/{number}")
        drive = Drive(rng, drawn(rng), deaths=0.1, crashes=0.3)
        world = drive.begin()
        for _ in range(rng.randrange(12)):
            drive.step()
        if not world.state.status.final:
            world.send(Cancelled())
            world.cancelled = True
        drive.finish()
        assert world.state.status.final, number


def test_services_of_random_workflows_come_to_every_end() -> None:
    ends: Counter[tuple[NodeStatus, Cause | None]] = Counter()
    runs: Counter[RunStatus] = Counter()
    for number in range(GRAPHS):
        rng = Random(f"ends/{number}")
        drive = Drive(rng, drawn(rng), deaths=0.1)
        drive.begin()
        world = drive.finish()
        runs[world.state.status] += 1
        for row in world.rows.executions.values():
            ends[world.statuses[row.node], row.cause] += 1
    assert set(runs) == {RunStatus.SUCCEEDED, RunStatus.FAILED}
    assert ends[NodeStatus.FAILED, Cause.SERVICE] and ends[NodeStatus.SUCCEEDED, None]

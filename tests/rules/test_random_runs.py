"""The seven properties on random workflows, with crashes anywhere; and the same ends as the reference interpreter."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_graphs import Fates, random_workflow
from rules_world import SUCCESS, World, run_to_the_end

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.rules import graph
from klassd.workflows.rules.advance import Begun, Cancelled, TaskEnded
from klassd.workflows.testing.simulation.reference import Reference

BATCHES, GRAPHS = 10, 300


def drive(rng: Random, crashes: float) -> tuple[World, Reference]:
    """A random workflow to its end, tasks ending in random order (``World`` checks the properties at every event)."""
    definition = random_workflow(rng)
    assert graph.problems(definition) == []
    fates = Fates(rng, definition)
    world = World(definition, fates)
    world.send(Begun())
    while world.live:
        world.end(rng.randrange(len(world.live)))
        if rng.random() < crashes:
            world.crash()
    return world, Reference(definition, fates.final)


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.fault("A8", "A10", "F10")
def test_random_workflows_end_as_the_reference_says_whatever_the_order_and_the_crashes(batch: int) -> None:
    for number in range(GRAPHS):
        seed = f"{batch}/{number}"
        world, expected = drive(Random(seed), crashes=0.3)
        assert world.statuses == expected.status, seed
        assert world.state.status is expected.run, seed
        assert {name: each.next for name, each in world.state.nodes.items()} == expected.tasks, seed


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_workflow_ends_as_the_reference_says(rng: Random) -> None:
    world, expected = drive(rng, crashes=0.5)
    assert (world.statuses, world.state.status) == (expected.status, expected.run)


def test_the_generator_reaches_every_state_and_feature() -> None:
    statuses: set[NodeStatus] = set()
    runs: set[RunStatus] = set()
    retried = False
    for number in range(GRAPHS):
        world, _ = drive(Random(f"coverage/{number}"), crashes=0.0)
        statuses |= set(world.statuses.values())
        runs.add(world.state.status)
        retried = retried or any(start.attempt > 1 for delta in world.decisions for start in delta.started)
    assert statuses >= {NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.OMITTED}
    assert runs == {RunStatus.SUCCEEDED, RunStatus.FAILED}
    assert retried


@pytest.mark.fault("F13")
def test_the_same_events_always_give_the_same_decisions() -> None:
    for number in range(100):
        first, _ = drive(Random(f"same/{number}"), crashes=0.2)
        second, _ = drive(Random(f"same/{number}"), crashes=0.2)
        assert first.decisions == second.decisions


@pytest.mark.parametrize("batch", range(4))
@pytest.mark.fault("A11", "F8")
def test_a_run_cancelled_at_any_step_starts_nothing_more_and_ends(batch: int) -> None:
    for number in range(25):
        seed = f"cancel/{batch}/{number}"
        definition = random_workflow(Random(seed))
        fates = Fates(Random(seed), definition)
        steps = len(run_to_the_end(definition, fates).decisions)
        for step in range(steps):
            for crash in (False, True):
                _cancel_at(definition, fates, step, crash)


def _cancel_at(definition: Definition, fates: Fates, step: int, crash: bool) -> None:
    world = World(definition, fates)
    world.send(Begun())
    for _ in range(step):
        if world.live:
            world.end()
    if world.state.status.final:
        return
    alive = set(world.live)
    delta = world.send(Cancelled())
    world.cancelled = True
    assert set(delta.stop) == alive
    assert world.state.status is RunStatus.CANCELLING or (world.state.status.final and not alive)
    assert world.send(Cancelled()).empty
    while world.live:
        if crash:
            world.crash()
        world.end()
    assert world.state.status in (RunStatus.CANCELLED, RunStatus.SUCCEEDED)
    if world.state.status is RunStatus.SUCCEEDED:
        assert NodeStatus.CANCELLED not in world.statuses.values()


def test_every_event_heard_twice_changes_nothing() -> None:
    for number in range(200):
        rng = Random(f"twice/{number}")
        definition = random_workflow(rng)
        fates = Fates(rng, definition)
        world = World(definition, fates)
        world.send(Begun())
        heard: list[TaskEnded] = []
        while world.live:
            task = world.live[0]
            verdict, output = fates(*task)
            heard.append(TaskEnded(*task, verdict, output, {}))
            world.end()
            assert all(world.send(event).empty for event in heard), number
        assert world.send(Begun()).empty and world.send(Cancelled()).empty


def test_a_task_nobody_started_cannot_end() -> None:
    world = World(random_workflow(Random("nobody")), lambda *_: (SUCCESS, None))
    world.send(Begun())
    assert world.send(TaskEnded("n0", 99, 1, SUCCESS)).empty
    assert world.send(TaskEnded("unheard-of", 0, 1, SUCCESS)).empty
    assert world.send(TaskEnded(*world.live[0][:2], 7, SUCCESS)).empty

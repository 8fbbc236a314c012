"""The seven properties on random workflows, with crashes anywhere; and the same ends as the reference interpreter."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_graphs import Fates, random_workflow
from rules_world import SUCCESS, World

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.rules import graph
from klassd.workflows.rules.advance import Begun, Cancelled, TaskEnded
from klassd.workflows.testing.simulation.reference import Reference

BATCHES, GRAPHS = 10, 300


def drive(rng: Random, crashes: float) -> tuple[World, Reference]:
    """A random workflow to its end, tasks ending in random order (``World`` checks the properties at every event)."""
    definition = random_workflow(rng)
    assert graph.problems(definition) == []
    fates = Fates(rng, definition)
    world = fates.world()
    world.send(Begun())
    while world.live:
        world.end(rng.randrange(len(world.live)))
        if rng.random() < crashes:
            world.crash()
    return world, fates.reference()


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.fault("A8", "A10", "F10")
def test_random_workflows_end_as_the_reference_says_whatever_the_order_and_the_crashes(batch: int) -> None:
    for number in range(GRAPHS):
        seed = f"{batch}/{number}"
        world, expected = drive(Random(seed), crashes=0.3)
        assert world.statuses == expected.status, seed
        assert (world.state.status, world.rows.run.output) == (expected.run, expected.output), seed
        assert {name: each.next for name, each in world.state.nodes.items()} == expected.tasks, seed


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_workflow_ends_as_the_reference_says(rng: Random) -> None:
    world, expected = drive(rng, crashes=0.5)
    assert (world.statuses, world.state.status) == (expected.status, expected.run)
    assert world.rows.run.output == expected.output


def test_the_generator_reaches_every_state_and_feature() -> None:
    worlds = [drive(Random(f"coverage/{number}"), crashes=0.0)[0] for number in range(GRAPHS)]
    statuses = {status for world in worlds for status in world.statuses.values()}
    assert statuses >= {NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.OMITTED}
    assert {world.state.status for world in worlds} == {RunStatus.SUCCEEDED, RunStatus.FAILED}
    starts = [start for world in worlds for delta in world.decisions for start in delta.started]
    assert any(start.attempt > 1 for start in starts)
    assert any(world.rows.run.output is not None for world in worlds)
    told = " | ".join(str(node.error) for world in worlds for node in world.state.nodes.values())
    told += " | ".join(str(world.rows.run.error) for world in worlds)
    for words in (
        "is_small(value=", "gave 'yes', expected true or false", "raised KeyError", "never called ctx.set_output('rare'",
        "params.yes was false", "0 items in params.none", "the run has no output",
    ):  # fmt: skip
        assert words in told, words


@pytest.mark.fault("F13")
def test_the_same_events_always_give_the_same_decisions() -> None:
    for number in range(100):
        first, _ = drive(Random(f"same/{number}"), crashes=0.2)
        second, _ = drive(Random(f"same/{number}"), crashes=0.2)
        assert first.decisions == second.decisions


@pytest.mark.parametrize("batch", range(4))
@pytest.mark.fault("A11", "F8")
def test_a_run_cancelled_at_any_step_starts_nothing_more_and_ends_as_the_reference_says(batch: int) -> None:
    for number in range(25):
        seed = f"cancel/{batch}/{number}"
        definition = random_workflow(Random(seed))
        fates = Fates(Random(seed), definition)
        whole = fates.world()
        whole.send(Begun())
        while whole.live:
            whole.end()
        for step in range(len(whole.decisions)):
            for crash in (False, True):
                _cancel_at(fates, step, crash)


def _cancel_at(fates: Fates, step: int, crash: bool) -> None:
    world = fates.world()
    world.send(Begun())
    for _ in range(step):
        if world.live:
            world.end()
    if world.state.status.final:
        return
    expected = fates.reference_of_cancelled(world)
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
    assert (world.statuses, world.state.status) == (expected.status, expected.run)
    assert world.rows.run.output == expected.output


def test_every_event_heard_twice_changes_nothing() -> None:
    for number in range(200):
        rng = Random(f"twice/{number}")
        definition = random_workflow(rng)
        fates = Fates(rng, definition)
        world = fates.world()
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

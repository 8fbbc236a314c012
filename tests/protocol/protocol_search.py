"""Every state that a protocol can reach, the shortest way to a wrong one, and whether there is always a way out.

A state is a flat tuple of small numbers; a model says what may happen next. Nothing is sampled: what is not found is not there.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import NamedTuple

State = tuple[int, ...]
Moves = Callable[[State], Iterable[tuple[str, State]]]


class Model(NamedTuple):
    start: State
    moves: Moves  # what the protocol does, and what will surely come: a process ends, a lease of a dead owner runs out
    faults: Moves  # what may come and need not
    wrong: Callable[[State], str]  # the promise that is broken here, in words; empty: none
    over: Callable[[State], bool]  # nothing more needs to happen


class Found(NamedTuple):
    states: int
    problem: str = ""
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{number:>3}. {event}" for number, event in enumerate(self.story, 1)]
        return "\n".join([self.problem or f"nothing wrong in {self.states:,} states", *lines])


def explore(model: Model, most: int = 1_000_000) -> Found:
    """Breadth first, so that the story of the first wrong state is a shortest one."""
    gc.disable()  # a million tuples, and no cycle among them: three times as fast
    try:
        return _explore(model, most)
    finally:
        gc.enable()


def _explore(model: Model, most: int) -> Found:
    numbers = {model.start: 0}
    states = [model.start]
    came = [(-1, "")]  # from which state, by which event
    ways: list[list[int]] = []  # where the protocol goes by itself from each state

    def visit(number: int, event: str, state: State) -> int:
        known = numbers.setdefault(state, len(states))
        if known == len(states):
            states.append(state)
            came.append((number, event))
        return known

    for number, state in enumerate(states):
        if problem := model.wrong(state):
            return Found(len(states), problem, _story(came, number))
        ways.append([visit(number, event, after) for event, after in model.moves(state)])
        for event, after in model.faults(state):
            visit(number, event, after)
        assert len(states) <= most, f"more than {most:,} states: make the model smaller"
    stuck = _without_way_out(ways, [model.over(state) for state in states])
    if stuck is not None:
        return Found(len(states), "from here on it can never come to an end", _story(came, stuck))
    return Found(len(states))


def _without_way_out(ways: list[list[int]], good: list[bool]) -> int | None:
    """The first state from which no good one can be reached. Most ways lead on, so few rounds from the back suffice."""
    changed = True
    while changed:
        changed = False
        for number in range(len(ways) - 1, -1, -1):
            if not good[number] and any(good[after] for after in ways[number]):
                good[number] = changed = True
    return good.index(False) if False in good else None


def _story(came: list[tuple[int, str]], number: int) -> tuple[str, ...]:
    events: list[str] = []
    while number > 0:
        number, event = came[number]
        events.append(event)
    return tuple(reversed(events))


def put(state: State, *changes: int) -> State:
    """The state with some fields changed: ``put(state, FIELD, value, FIELD, value)``."""
    new = list(state)
    for at in range(0, len(changes), 2):
        new[changes[at]] = changes[at + 1]
    return tuple(new)

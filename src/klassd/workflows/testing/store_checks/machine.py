"""Any sequence of operations that hypothesis comes up with, on two handles, against the model.

The only part of the suite that needs hypothesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.ports import Store
from klassd.workflows.testing.store_checks.bench import Suite
from klassd.workflows.testing.store_checks.modelled import (
    Cancel,
    Claim,
    ClaimStart,
    Commit,
    Enqueue,
    Find,
    Log,
    Model,
    OfAnExecution,
    OfANode,
    OfTheRun,
    Prune,
    Release,
    Renew,
    Start,
    Step,
    Wish,
    compare,
    lapse,
)

T = TypeVar("T")

OWNERS, QUEUES, NAMES = (st.sampled_from(names) for names in (["one", "two", "three"], ["a", "b"], ["x", "y"]))
PICKS, FEW, INDICES = st.integers(0, 1000), st.integers(0, 2), st.integers(0, 1)
KEYS = st.lists(st.none() | NAMES, min_size=1, max_size=3)
OF_EXECUTIONS = st.one_of(
    st.builds(Start, INDICES, st.integers(1, 2)), st.builds(OfAnExecution, INDICES, st.sampled_from(ExecutionStatus))
)
OTHERS = st.one_of(
    st.builds(OfTheRun, st.sampled_from(list(RunStatus)[1:]), FEW),
    st.builds(OfANode, NAMES, st.sampled_from(NodeStatus), st.none() | st.lists(FEW, max_size=2), st.none() | st.just("h:1")),
    st.builds(Log, INDICES, st.booleans()),
)
CHANGES = st.integers(0, 3).flatmap(lambda turn: OF_EXECUTIONS if turn else OTHERS)
COMMITS = st.builds(Commit, st.lists(PICKS, min_size=1, max_size=2, unique=True), st.sampled_from([0, 0, 0, 1]), CHANGES)
CLAIMS = st.builds(Claim, OWNERS, st.integers(1, 3), st.none() | st.lists(QUEUES, max_size=2))
STARTS = st.builds(ClaimStart, PICKS, INDICES, st.sampled_from(["pod-1", "pod-2"]), st.sampled_from([True, True, True, False]))
REFERENCES: st.SearchStrategy[list[int]] = st.just([]) | st.lists(PICKS, max_size=2)
WISHES: st.SearchStrategy[Wish] = st.one_of(
    st.builds(Enqueue, NAMES, QUEUES, st.integers(-1, 1), st.sampled_from([0.0, 0.0, 5.0]), KEYS, REFERENCES),
    st.builds(Cancel, PICKS),
    st.builds(Renew, OWNERS),
    st.builds(Release, OWNERS),
    CLAIMS,
    STARTS,
    st.builds(Find, st.sampled_from([0.0, 5.0]), st.integers(1, 2)),
    st.builds(Prune, st.lists(PICKS, min_size=1, max_size=2)),
)


class StoreMachine(RuleBasedStateMachine):
    """Each example has a new, empty store and two handles on it, used in turn."""

    def __init__(self, suite: Suite) -> None:
        super().__init__()
        self._suite = suite
        self._runner = asyncio.Runner()
        self._make = suite.factory()
        self._handles: list[Store] = []
        self._model = Model()
        for _ in range(2):
            self._open()

    def _open(self) -> None:
        store = self._make()
        self._do(store.open())
        self._handles.append(store)

    def _do(self, action: Awaitable[T]) -> T:
        async def run() -> T:
            return await action

        return self._runner.run(run())

    @property
    def _store(self) -> Store:
        self._handles.reverse()
        return self._handles[0]

    def teardown(self) -> None:
        for handle in self._handles:
            self._do(handle.close())
        self._runner.close()

    # -- rules --------------------------------------------------------------------------------------------------

    @rule(wish=WISHES)
    def once(self, wish: Wish) -> None:
        self._take(wish.resolve(self._model))

    @rule(commits=st.lists(COMMITS, min_size=1, max_size=8))
    def runs_go_on(self, commits: list[Commit]) -> None:
        for commit in commits:
            self._take(commit.resolve(self._model))

    @rule(wish=WISHES | COMMITS)
    def again_because_the_answer_was_lost(self, wish: Wish) -> None:
        step = wish.resolve(self._model)
        self._take(step)
        self._take(step)

    def _take(self, step: Step) -> None:
        assert self._do(step.call(self._store)) == step.expect(self._model)

    @rule(one=WISHES | COMMITS, other=WISHES | COMMITS)
    def two_at_once(self, one: Wish, other: Wish) -> None:
        """As if one of them had been first, whichever."""
        steps = one.resolve(self._model), other.resolve(self._model)
        answers = self._do(_together(*(step.call(handle) for step, handle in zip(steps, self._handles, strict=True))))
        after, expected = _in_order(self._model, *steps)
        swapped, backwards = _in_order(self._model, *reversed(steps))
        orders = [(after, expected), (swapped, backwards[::-1])]
        fitting = [model for model, expected in orders if expected == answers]
        assert fitting, f"answered {answers}; expected {orders[0][1]}, or the other way round {orders[1][1]}"
        self._model = self._settled([model for model in fitting if self._agrees(model)] or fitting[:1])

    def _settled(self, models: list[Model]) -> Model:
        """Who has a lease cannot be read, and ``renew`` and ``release`` answer the same whoever was first: where it is
        uncertain, renew it, which leaves it certain."""
        owners = sorted(set().union(*(each.leases for each in models)))
        for owner in (each for each in owners if len({model.leases.get(each) for model in models}) > 1):
            step = Renew(owner).resolve(models[0])
            answer = self._do(step.call(self._store))
            models = [each for each in models if step.expect(each) == answer]
            assert models, f"the lease of {owner} is in no state that an order of the two could have left"
        return models[0]

    def _agrees(self, model: Model) -> bool:
        try:
            self._do(compare(self._store, model))
        except AssertionError:
            return False
        return True

    @rule(owner=OWNERS)
    def a_lease_runs_out(self, owner: str) -> None:
        self._do(lapse(self._store, self._model, owner, self._suite.pass_time))

    @rule(seconds=st.sampled_from([1.0, 4.0, 11.0]))
    def callers_get_older(self, seconds: float) -> None:
        self._model.now += seconds

    @rule()
    def a_process_is_replaced(self) -> None:
        self._do(self._handles.pop().close())
        self._open()

    @invariant()
    def everything_that_can_be_read_is_as_expected(self) -> None:
        self._do(compare(self._store, self._model))


async def _together(*calls: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*calls))


def _in_order(model: Model, first: Step, second: Step) -> tuple[Model, list[Any]]:
    """The model after both, and their answers."""
    after = model.copy()
    return after, [first.expect(after), second.expect(after)]


def explore(suite: Suite, examples: int, steps: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    how = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=slow)
    run_state_machine_as_test(lambda: StoreMachine(suite), settings=how)  # type: ignore[arg-type]  # a class, or what makes one

"""Random workflows and random fates, small enough to be nasty: every feature of the rules next to every other."""

from __future__ import annotations

from random import Random
from typing import Any

from rules_world import EVICTED, FAILURE, FOR_GOOD, SUCCESS, node

from klassd.workflows.model.workflow import Definition
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.testing.simulation import graphs

RETRIES, MACHINE = (0, 0, 1, 2), (0, 0, 1, 2)
OPTIONS = [node("any", retries=own, machine=machine).options for own in RETRIES for machine in MACHINE]


def random_workflow(rng: Random, most: int = 8) -> Definition:
    return graphs.random_workflow(rng, OPTIONS, most)


class Fates:
    """What every attempt of every task comes to, drawn once and the same however often it is asked for."""

    def __init__(self, rng: Random, definition: Definition) -> None:
        self._seed = rng.getrandbits(64)
        self._ill = rng.choice((0.0, 0.1, 0.3, 0.6))
        self._retries = {each.name: each.options.retry for each in definition.nodes}

    def __call__(self, name: str, index: int, attempt: int) -> tuple[Verdict, Any]:
        rng = Random(f"{self._seed}/{name}/{index}/{attempt}")
        if rng.random() < self._ill:
            return rng.choice((FAILURE, FAILURE, EVICTED, FOR_GOOD)), None
        return SUCCESS, {"n": rng.randint(0, 2), "items": list(range(rng.randint(0, 4)))}

    def final(self, name: str, index: int) -> tuple[bool, Any]:
        """What the task comes to, retries and all."""
        own, machine = self._retries[name].times, self._retries[name].infrastructure
        for attempt in range(1, own + machine + 2):
            verdict, output = self(name, index, attempt)
            own, machine = own - (verdict is FAILURE), machine - (verdict is EVICTED)
            if verdict is SUCCESS or verdict is FOR_GOOD or own < 0 or machine < 0:
                return verdict is SUCCESS, output
        raise AssertionError("one of the budgets is used up by now")

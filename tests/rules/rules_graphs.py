"""Random workflows and random fates, small enough to be nasty: every feature of the rules next to every other."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from rules_world import EVICTED, FAILURE, FOR_GOOD, STOPPED, SUCCESS, World, node, ref

from klassd.workflows.model.workflow import All, AnyOf, Call, Compare, Condition, Definition, Node, Truth
from klassd.workflows.rules.lifecycle import Verdict
from klassd.workflows.testing.simulation import graphs
from klassd.workflows.testing.simulation.reference import Reference

RETRIES, MACHINE = (0, 0, 1, 2), (0, 0, 1, 2)
OPTIONS = [node("any", retries=own, machine=machine).options for own in RETRIES for machine in MACHINE]


def random_workflow(rng: Random, most: int = 8) -> Definition:
    """With all that the simulation's jobs have no use for: parameters, named outputs, functions, a run's output."""
    plain = graphs.random_workflow(rng, OPTIONS, most)
    nodes: dict[str, Node] = {}
    for each in plain.nodes:
        nodes[each.name] = _richer(rng, each, [nodes[need] for need in each.needs])
    returned = rng.sample(list(nodes.values()), min(2, len(nodes)))
    returns = {"n": _param(rng), **{each.name: _part_of(rng, each) for each in returned}} if rng.random() < 0.7 else None
    return msgspec.structs.replace(plain, nodes=tuple(nodes.values()), returns=returns, params=PARAMS)


def _richer(rng: Random, each: Node, needs: list[Node]) -> Node:
    changes: dict[str, Any] = {}
    if rng.random() < 0.3:
        changes["when"] = _richer_condition(rng, each.when, needs)
    sources = [need for need in needs if not need.mapped]
    if each.mapped and rng.random() < 0.3:
        named = ref(rng.choice(sources).name, output=rng.choice(("list", "list", "rare"))) if sources else None
        changes["over"] = named if named and rng.random() < 0.6 else {"$param": rng.choice(("list", "none"))}
    return msgspec.structs.replace(each, **changes)


def _richer_condition(rng: Random, before: Condition | None, needs: list[Node]) -> Condition:
    value = _part_of(rng, rng.choice(needs)) if needs and rng.random() < 0.7 else _param(rng)
    added: Condition = rng.choice(
        (
            Call(rng.choice(FUNCTIONS), {"value": value, "n": {"$param": "n"}}),
            Compare("==", value, rng.randint(0, 2)),
            Truth({"$param": "yes"}),
        )
    )
    if before is None:
        return added
    parts = (added, before) if rng.random() < 0.5 else (before, added)
    return All(parts) if rng.random() < 0.5 else AnyOf(parts)


def _part_of(rng: Random, need: Node) -> dict[str, Any]:
    """A part of what the node returns, or of what it gave to ``ctx.set_output``; now and then one that is not there."""
    if rng.random() < 0.5:
        return ref(need.name, output=rng.choice(("n", "n", "list", "rare")))
    return ref(need.name, *rng.choice(((), (0,), (1,)) if need.mapped else ((), ("n",), ("n",), ("items", 0))))


def _param(rng: Random) -> dict[str, Any]:
    return {"$param": rng.choice(("n", "yes"))}


PARAMS = {"n": {}, "yes": {"default": True}, "list": {"default": [0, 1]}, "none": {"default": []}}
FUNCTIONS = ("jobs:is_small", "jobs:is_small", "jobs:says_no", "jobs:talks", "jobs:breaks")


def call(function: str, arguments: dict[str, Any]) -> object:
    """The application's functions: one of them gives no boolean, and one raises."""
    match function:
        case "jobs:is_small":
            return len(str(arguments["value"])) < 2 + int(arguments["n"])
        case "jobs:says_no":
            return False
        case "jobs:talks":
            return "yes"
    raise KeyError(function)


class Fates:
    """What every attempt of every task comes to, drawn once and the same however often it is asked for."""

    def __init__(self, rng: Random, definition: Definition) -> None:
        self._definition = definition
        self._seed = rng.getrandbits(64)
        self._ill = rng.choice((0.0, 0.1, 0.3, 0.6))
        self._retries = {each.name: each.options.retry for each in definition.nodes}
        given = {"n": rng.randint(0, 2), "yes": rng.random() < 0.5, "list": list(range(rng.randint(0, 3)))}
        self._params = {name: value for name, value in given.items() if name == "n" or rng.random() < 0.4}

    def world(self) -> World:
        return World(self._definition, self, self._params, self.named, call)

    def reference(self) -> Reference:
        return Reference(self._definition, self.final, params=self._params, named=self.named, call=call)

    def reference_of_cancelled(self, world: World) -> Reference:
        """What the run must come to that is cancelled now: what runs may succeed still, and nothing else starts."""
        live = {task[:2]: task for task in world.live}
        started = {(start.node, start.index) for delta in world.decisions for start in delta.started}

        def ended(*task: Any) -> bool:
            return task in started and task not in live

        def final(*task: Any) -> tuple[bool | None, Any]:
            if ended(*task):
                return self.final(*task)
            verdict, output = self(*live[task]) if task in live else (STOPPED, None)
            return (True, output) if verdict is SUCCESS else (None, None)

        return Reference(self._definition, final, params=self._params, named=self.named, call=call, ended=ended)

    def named(self, name: str, index: int) -> dict[str, Any]:
        """Nothing rare of some of them."""
        rng = Random(f"{self._seed}/{name}/{index}/named")
        rare = {"rare": [7]} if rng.random() < 0.6 else {}
        return {"n": rng.randint(0, 2), "list": list(range(rng.randint(0, 3))), **rare}

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

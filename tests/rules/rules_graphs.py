"""Random workflows and random fates, small enough to be nasty: every feature of the rules next to every other."""

from __future__ import annotations

from random import Random
from typing import Any

from rules_world import EVICTED, FAILURE, FOR_GOOD, SUCCESS, node, ref, workflow

from klassd.workflows.model.workflow import All, AnyOf, Compare, Condition, Definition, Node, Not, Outcome
from klassd.workflows.rules.lifecycle import Verdict


def random_workflow(rng: Random, most: int = 8) -> Definition:
    nodes: list[Node] = []
    for number in range(rng.randint(1, most)):
        nodes.append(_random_node(rng, f"n{number}", nodes))
    return workflow(*nodes)


def _random_node(rng: Random, name: str, earlier: list[Node]) -> Node:
    needs = rng.sample(earlier, rng.randint(0, min(3, len(earlier))))
    fed = [need for need in needs if rng.random() < 0.5]
    fields: dict[str, Any] = {
        "inputs": {f"from-{need.name}": ref(need.name) for need in fed},
        "optional": tuple(f"from-{need.name}" for need in fed if rng.random() < 0.4),
    }
    if needs and rng.random() < 0.5:
        fields["when"] = _random_condition(rng, needs, depth=2)
    if rng.random() < 0.4:
        fields |= _random_fan_out(rng, needs)
    return node(
        name, *(need.name for need in needs), retries=rng.choice((0, 0, 1, 2)), machine=rng.choice((0, 0, 1, 2)), **fields
    )


def _random_condition(rng: Random, needs: list[Node], depth: int) -> Condition:
    need = rng.choice(needs)
    kind = rng.choice(("failed", "succeeded", "compare", *(("not", "all", "any") if depth else ())))
    if kind in ("not", "all", "any"):
        parts = tuple(_random_condition(rng, needs, depth - 1) for _ in range(2))
        return Not(parts[0]) if kind == "not" else All(parts) if kind == "all" else AnyOf(parts)
    if kind == "compare" and not need.mapped:
        return Compare(rng.choice(("==", "<")), ref(need.name, "n"), rng.randint(0, 2))
    return Outcome(need.name, "failed" if kind == "failed" else "succeeded")


def _random_fan_out(rng: Random, needs: list[Node]) -> dict[str, Any]:
    over: Any = list(range(rng.randint(0, 5)))
    if needs and rng.random() < 0.6:
        source = rng.choice(needs)
        over = ref(source.name) if source.mapped else ref(source.name, "items")
    return {
        "over": over,
        "max_parallel": rng.choice((None, 1, 2, 3)),
        "on_empty": rng.choice(("omit", "succeed", "fail")),
    }


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

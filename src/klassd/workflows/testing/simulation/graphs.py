"""Random workflows, small enough to be nasty: every feature of the rules next to every other."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from klassd.workflows.model.workflow import All, AnyOf, Compare, Condition, Definition, Node, Not, Outcome
from klassd.workflows.options import Options


def random_workflow(rng: Random, options: Sequence[Options], most: int = 8) -> Definition:
    """``options``: what a node may have."""
    nodes: list[Node] = []
    for number in range(rng.randint(1, most)):
        nodes.append(_random_node(rng, f"n{number}", nodes, options))
    return Definition("flow", tuple(nodes))


def _random_node(rng: Random, name: str, earlier: list[Node], options: Sequence[Options]) -> Node:
    needs = rng.sample(earlier, rng.randint(0, min(3, len(earlier))))
    fed = [need for need in needs if rng.random() < 0.5]
    fields: dict[str, Any] = {
        "inputs": {f"from-{need.name}": _ref(need.name) for need in fed},
        "optional": tuple(f"from-{need.name}" for need in fed if rng.random() < 0.4),
    }
    if needs and rng.random() < 0.5:
        fields["when"] = _random_condition(rng, needs, depth=2)
    if rng.random() < 0.4:
        fields |= _random_fan_out(rng, needs)
    return Node(name, "Job", "jobs:Job", needs=tuple(need.name for need in needs), options=rng.choice(options), **fields)


def _ref(name: str, *path: str) -> dict[str, Any]:
    return {"$ref": name, "path": list(path)}


def _random_condition(rng: Random, needs: list[Node], depth: int) -> Condition:
    need = rng.choice(needs)
    kind = rng.choice(("failed", "succeeded", "compare", *(("not", "all", "any") if depth else ())))
    if kind in ("not", "all", "any"):
        parts = tuple(_random_condition(rng, needs, depth - 1) for _ in range(2))
        return Not(parts[0]) if kind == "not" else All(parts) if kind == "all" else AnyOf(parts)
    if kind == "compare" and not need.mapped:
        return Compare(rng.choice(("==", "<")), _ref(need.name, "n"), rng.randint(0, 2))
    return Outcome(need.name, "failed" if kind == "failed" else "succeeded")


def _random_fan_out(rng: Random, needs: list[Node]) -> dict[str, Any]:
    over: Any = list(range(rng.randint(0, 5)))
    if needs and rng.random() < 0.6:
        source = rng.choice(needs)
        over = _ref(source.name) if source.mapped else _ref(source.name, "items")
    return {
        "over": over,
        "max_parallel": rng.choice((None, 1, 2, 3)),
        "on_empty": rng.choice(("omit", "succeed", "fail")),
    }

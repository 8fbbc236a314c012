"""Random workflows, small enough to be nasty: every feature of the rules next to every other."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from klassd.workflows.model.workflow import All, AnyOf, Compare, Condition, Definition, Node, Not, Outcome
from klassd.workflows.options import Options, Service
from klassd.workflows.rules import conditions
from klassd.workflows.rules.inputs import refs_in

SERVICE = Service(ready_within=30.0)


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


def with_services(rng: Random, definition: Definition, share: float = 0.6) -> Definition:
    """The same, with a share of those nodes as services that others only need, or whose data goes into inputs."""
    fitting = [node.name for node in definition.nodes if not node.mapped and _may_serve(definition, node.name)]
    chosen = {name for name in fitting if rng.random() < share}
    nodes = (_with_services(node, chosen) for node in definition.nodes)
    return msgspec.structs.replace(definition, nodes=tuple(nodes))


def _may_serve(definition: Definition, name: str) -> bool:
    """What looks at its outcome or its items would look at what a service does not have."""
    looks = set().union(*(conditions.mentions(node.when) for node in definition.nodes if node.when is not None))
    looks |= refs_in([node.over for node in definition.nodes if node.mapped]) | refs_in(definition.returns)
    return name not in looks and any(name in node.needs for node in definition.nodes)


def _with_services(node: Node, services: set[str]) -> Node:
    inputs = {
        name: {"$ref": value["$ref"], "service": "address", "path": []} if value.get("$ref") in services else value
        for name, value in node.inputs.items()
    }
    return msgspec.structs.replace(node, inputs=inputs, service=SERVICE if node.name in services else None)

"""What is wrong with a workflow, all at once, before anything of it runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from klassd.workflows.model.workflow import Definition, Node, Outcome
from klassd.workflows.rules import conditions
from klassd.workflows.rules.inputs import RESERVED, items_problem, markers, refs_in, show

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # fits a DNS label's length, a file name and a URL
PARTS = ("address", "host", "port")  # of a service
SHOWN = 12  # nodes of one cycle in a message
_NAME_RULE = "expected a letter or digit, then at most 62 letters, digits, '.', '_' or '-'"


def problems(definition: Definition) -> list[str]:
    """A sentence for each problem; empty: it can run."""
    if not definition.nodes:
        return ["there is nothing in it: add a job"]
    nodes = {node.name: node for node in definition.nodes}
    found = [*_names(definition)]
    for node in definition.nodes:
        found += [f"node {node.name!r}: {problem}" for problem in _of_node(node, nodes, definition.params)]
    found += list(_services(definition, nodes))
    found += [f"returns: {problem}" for problem in _of_value(definition.returns, nodes, definition.params, mapped=False)]
    found += [_in_a_circle(cycle) for cycle in cycles(nodes)]
    return list(dict.fromkeys(found))


def _names(definition: Definition) -> Iterator[str]:
    """A job's own definition is named by its key, which has rules of its own."""
    times = Counter(node.name for node in definition.nodes)
    yield from (f"there are {count} nodes named {name!r}" for name, count in times.items() if count > 1)
    if definition.kind == "workflow":
        named = [("its name", definition.name), *(("the node name", name) for name in times)]
        yield from (f"{what} {name!r} is not usable: {_NAME_RULE}" for what, name in named if not NAME.fullmatch(name))


def _of_node(node: Node, nodes: Mapping[str, Node], params: Mapping[str, Any]) -> Iterator[str]:
    yield from _needs(node, nodes)
    for name, value in node.inputs.items():
        yield from (f"input {name!r}: {each}" for each in _of_value(value, nodes, params, node.mapped))
    if node.when is not None:
        for value in conditions.values(node.when):
            yield from (f"when: {each}" for each in _of_value(value, nodes, params, mapped=False))
        yield from (f"when: {_unknown(name, nodes)}" for name in sorted(conditions.outcomes(node.when)) if name not in nodes)
    if node.mapped:
        yield from _fan_out(node, nodes, params)
    if node.max_parallel is not None and node.max_parallel < 1:
        yield f"max_parallel is {node.max_parallel}, expected at least 1"


def _needs(node: Node, nodes: Mapping[str, Node]) -> Iterator[str]:
    used = _used(node)
    if node.name in used.union(node.needs):
        yield "it depends on itself"
    yield from (f"needs: {_unknown(need, nodes)}" for need in dict.fromkeys(node.needs) if need not in nodes)
    for name in sorted(used.difference(node.needs)):
        if name in nodes and name != node.name:
            yield f"it uses {name!r}, which is not among its needs"


def _used(node: Node) -> set[str]:
    """Names of all nodes it speaks of."""
    used = refs_in(list(node.inputs.values()))
    if node.mapped:
        used |= refs_in(node.over)
    return used | conditions.mentions(node.when) if node.when is not None else used


def _fan_out(node: Node, nodes: Mapping[str, Node], params: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"over: {each}" for each in _of_value(node.over, nodes, params, mapped=False))
    if not isinstance(node.over, dict | list | tuple):
        yield f"over: it is {show(node.over)}, expected a list or a reference to one"
    elif isinstance(node.over, list | tuple) and (problem := items_problem(node.over)):
        yield f"over: {problem}"


def _of_value(value: Any, nodes: Mapping[str, Node], params: Mapping[str, Any], mapped: bool) -> Iterator[str]:
    for reference in markers(value):
        if problem := _malformed(reference):
            yield problem
        elif "$ref" in reference and reference["$ref"] not in nodes:
            yield _unknown(reference["$ref"], nodes)
        elif "$ref" in reference:
            target = nodes[reference["$ref"]]
            yield from filter(None, (_of_service(reference, target), _no_file(reference, target)))
        elif "$item" in reference and not mapped:
            yield f"{show(reference)} has no meaning here: only the inputs of a mapped node have an item"
        elif "$param" in reference and reference["$param"] not in params:
            yield f"parameter {reference['$param']!r} is not declared.{_near(reference['$param'], params)}"


_ALLOWED = {
    "$ref": {"$ref", "path", "output", "service"},
    "$item": {"$item"},
    "$param": {"$param", "path"},
    "$literal": {"$literal"},
}


def _of_service(reference: dict[str, Any], node: Node) -> str | None:
    part = reference.get("service")
    if node.service is None:
        return f"{node.name!r} is no service and has no {part}" if part is not None else None
    if part is None:
        return f"{node.name!r} is a service and has no output: use its .address, .host or .port, or after=[...]"
    return None if part in PARTS else f"{part!r} is no part of a service: expected one of {', '.join(PARTS)}"


def _services(definition: Definition, nodes: Mapping[str, Node]) -> Iterator[str]:
    needed = {need for node in definition.nodes for need in node.needs}
    for node in definition.nodes:
        if node.service is None:
            continue
        place = f"node {node.name!r}: "
        if node.mapped:
            yield f"{place}a service is one execution and cannot be fanned out: make it one node, and fan out what uses it"
        if node.name not in needed:
            yield f"{place}nothing uses this service, so it would be stopped at once: pass on its address, or after=[...]"
        if node.service.ready != "signal" and node.service.port is None:
            yield f"{place}its readiness is asked for at a port: give it port=, or port=0 for a free one"
    for node in definition.nodes:
        for part in conditions.parts(node.when) if node.when is not None else ():
            if isinstance(part, Outcome) and part.is_ == "succeeded" and part.node in nodes and nodes[part.node].service:
                yield (
                    f"node {node.name!r}: when: the service {part.node!r} succeeds only after all that use it: "
                    "after=[...] waits until it is ready"
                )


def _no_file(reference: dict[str, Any], node: Node) -> str | None:
    """A container has the outputs that it was given, and no others."""
    if node.container is None:
        return None
    path = list(reference.get("path", ()))
    names = [reference["output"]] if "output" in reference else path[:1] if not node.mapped else path[1:2]
    files = node.container.outputs
    if not names or names[0] in files:
        return None
    known = _near(str(names[0]), files) or f" It has {', '.join(map(repr, files)) or 'none'}."
    return f"container {node.name!r} has no file output {names[0]!r}.{known}"


def _malformed(reference: dict[str, Any]) -> str | None:
    key = next(key for key in RESERVED if key in reference)
    if extra := reference.keys() - _ALLOWED[key]:
        return f"{key} stands beside {', '.join(map(repr, sorted(extra)))}: user data with such a key goes into $literal"
    if key in ("$ref", "$param") and not isinstance(reference[key], str):
        return f"{key} is {reference[key]!r}, expected a name"
    path = reference[key] if key == "$item" else reference.get("path", [])
    parts_fit = isinstance(path, list | tuple) and all(isinstance(part, str | int) for part in path)
    return None if key == "$literal" or parts_fit else f"the path of {key} is {path!r}, expected a list of keys and indices"


def _unknown(name: str, nodes: Iterable[str]) -> str:
    return f"there is no node {name!r}.{_near(name, nodes)}"


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only when something is wrong

    found = get_close_matches(name, list(known), n=2)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""


# -- cycles -----------------------------------------------------------------------------------------------------------


def cycles(nodes: Mapping[str, Node]) -> list[list[str]]:
    """Cycles of more than one node, each starting with its first node in the definition; none twice, and at least one of every
    tangle. No recursion: a chain may have 10,000 nodes."""
    needs = {
        name: [need for need in dict.fromkeys(node.needs) if need in nodes and need != name] for name, node in nodes.items()
    }
    tangled = _tangled(needs)
    found: list[list[str]] = []
    walked: set[str] = set()
    for start in tangled:
        trail: dict[str, None] = {}
        at = start
        while at not in walked and at not in trail:
            trail[at] = None
            at = next(need for need in needs[at] if need in tangled)
        if at in trail:
            found.append(_rotated(list(trail)[list(trail).index(at) :], nodes))
        walked.update(trail)
    return found


def _tangled(needs: Mapping[str, list[str]]) -> dict[str, None]:
    """What is left once every node without open needs is taken away: cycles, and what hangs on them. In order."""
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, of in needs.items():
        for need in of:
            dependents[need].append(name)
    unmet = {name: len(of) for name, of in needs.items()}
    free = [name for name, count in unmet.items() if count == 0]
    while free:
        for dependent in dependents[free.pop()]:
            unmet[dependent] -= 1
            if unmet[dependent] == 0:
                free.append(dependent)
    return {name: None for name, count in unmet.items() if count}


def _rotated(cycle: list[str], nodes: Mapping[str, Node]) -> list[str]:
    """From "needs" to "feeds" order, the first of the definition in front."""
    order = {name: place for place, name in enumerate(nodes)}
    forward = cycle[::-1]
    first = forward.index(min(forward, key=order.__getitem__))
    return forward[first:] + forward[:first]


def _in_a_circle(cycle: list[str]) -> str:
    shown = cycle if len(cycle) <= SHOWN else [*cycle[: SHOWN - 1], f"({len(cycle) - SHOWN:,} more)", cycle[-1]]
    return f"these nodes wait for each other: {' -> '.join([*shown, cycle[0]])}"

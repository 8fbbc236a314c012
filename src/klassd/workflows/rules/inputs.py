"""References in inputs, read back: the only reader of the form that ``model.workflow`` describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from klassd.workflows.errors import KlassdError
from klassd.workflows.model.states import NodeStatus
from klassd.workflows.model.workflow import Node

if TYPE_CHECKING:
    from klassd.workflows.rules.state import RunState

MAX_ITEMS = 10_000  # tasks of one fan-out
MAX_ITEM = 64 * 1024  # bytes of JSON of one item
MAX_LIST = 16 * 1024 * 1024  # bytes of all items; the list is stored whole with the run
MAX_INPUTS = 4 * 1024 * 1024  # bytes of JSON that one execution may be given
MAX_RETURNED = 4 * 1024 * 1024  # bytes of JSON of a run's output
QUOTED = 200  # bytes of what was found, in a message
RESERVED = ("$ref", "$item", "$param", "$literal")

NO_ITEM: Any = object()


class ResolveError(KlassdError):
    """A reference that leads nowhere. The message names the node, the reference and what was found there."""


class Absent(Exception):
    """The value of a node that has none, because it did not succeed. What to do about it is the caller's decision."""

    def __init__(self, node: str) -> None:
        self.node = node
        super().__init__(f"{node} has no output")


class View(Protocol):
    """What references and conditions may look at."""

    @property
    def params(self) -> Mapping[str, Any]: ...

    def node_status(self, name: str) -> NodeStatus: ...

    def mapped(self, name: str) -> bool: ...

    def output(self, name: str) -> Any:
        """Return value of a node that succeeded; of a mapped one the list of its items' values, in item order."""
        ...

    def address(self, name: str) -> str:
        """Of a service that is or was ready."""
        ...

    def named(self, name: str, key: str) -> Any:
        """The same of an output given to ``ctx.set_output``. KeyError: there is none of that name."""
        ...


def resolve(state: RunState, node_name: str, index: int) -> dict[str, Any]:
    """The inputs of one task as plain JSON values. Raises ``ResolveError``."""
    node = state.nodes[node_name]
    item = node.items[index] if node.items is not None else NO_ITEM
    given = {name: _input(state, node.node, name, value, item) for name, value in node.node.inputs.items()}
    if problem := _too_large(given, MAX_INPUTS):
        raise ResolveError(f"the inputs of node {node_name!r} have {problem}: pass large data as an Artifact")
    return given


def _input(view: View, node: Node, name: str, value: Any, item: Any) -> Any:
    try:
        return evaluate(value, view, item)
    except Absent as absent:
        if name in node.optional:
            return None
        found = came_to(absent.node, view)
        raise ResolveError(f"node {node.name!r}, input {name!r}: {found} and has no output") from None
    except ResolveError as error:
        raise ResolveError(f"node {node.name!r}, input {name!r}: {error}") from None


def items_of(view: View, node: Node) -> list[Any]:
    """The items a mapped node runs over. Raises ``ResolveError`` (not a list, too many, too big) or ``Absent``."""
    try:
        found = evaluate(node.over, view)
    except ResolveError as error:
        raise ResolveError(f"node {node.name!r} cannot fan out: {error}") from None
    if not isinstance(found, list):
        expected = f"node {node.name!r} cannot fan out over {show(node.over)}: expected a list"
        raise ResolveError(f"{expected}, found {kind(found)}: {quoted(found)}")
    if problem := items_problem(found):
        raise ResolveError(f"node {node.name!r} cannot fan out: {problem}")
    return found


def items_problem(items: Sequence[Any]) -> str | None:
    """Why these items cannot be fanned out over, or None."""
    if len(items) > MAX_ITEMS:
        return f"{len(items):,} items, at most {MAX_ITEMS:,}: give each task a batch of them"
    total = 0
    for index, item in enumerate(items):
        size = 0 if item is None or isinstance(item, bool | int | float) else len(msgspec.json.encode(item))
        if size > MAX_ITEM:
            return f"item {index} has {size:,} bytes, at most {MAX_ITEM:,}: pass large data as an Artifact"
        total += size
    if total > MAX_LIST:
        return f"its items have {total:,} bytes together, at most {MAX_LIST:,}: pass large data as an Artifact"
    return None


def returned(value: Any, view: View) -> Any:
    """The output of a run: as ``evaluate``, and null for what a node that did not succeed would have given."""
    output = evaluate(value, view, or_null=True)
    if problem := _too_large(output, MAX_RETURNED):
        raise ResolveError(f"it has {problem}: return less of it, or an Artifact")
    return output


def _too_large(value: Any, most: int) -> str | None:
    size = len(msgspec.json.encode(value))
    return f"{size:,} bytes, at most {most:,}" if size > most else None


def evaluate(value: Any, view: View, item: Any = NO_ITEM, or_null: bool = False) -> Any:
    """``value`` with every reference replaced. Raises ``ResolveError`` or, unless ``or_null``, ``Absent``."""
    if isinstance(value, dict):
        if marker(value) is None:
            return {key: evaluate(part, view, item, or_null) for key, part in value.items()}
        return _follow_or_null(value, view, item) if or_null else _follow(value, view, item)
    if isinstance(value, list | tuple):
        return [evaluate(part, view, item, or_null) for part in value]
    return value


def _follow_or_null(reference: dict[str, Any], view: View, item: Any) -> Any:
    try:
        return _follow(reference, view, item)
    except Absent:
        return None


def _follow(reference: dict[str, Any], view: View, item: Any) -> Any:
    if "$ref" in reference:
        return _walk(_output(reference, view), reference.get("path", ()), reference)
    if "$item" in reference:
        if item is NO_ITEM:
            raise ResolveError(f"{show(reference)} has no meaning here: only a mapped node's inputs have an item")
        return _walk(item, reference["$item"], reference)
    if "$param" in reference:
        return _walk(_param(reference["$param"], view), reference.get("path", ()), reference)
    return reference["$literal"]


def _output(reference: dict[str, Any], view: View) -> Any:
    name, key = reference["$ref"], reference.get("output")
    if is_absent(name, view):
        raise Absent(name)
    if view.node_status(name) is NodeStatus.OMITTED:
        return []  # a fan-in over a fan-out that had nothing to do
    if "service" in reference:
        return _of_address(view.address(name), reference)
    if key is None:
        return view.output(name)
    try:
        return view.named(name, key)
    except KeyError:
        raise ResolveError(f"{show(reference)} does not exist: {name} never called ctx.set_output({key!r}, ...)") from None


def _of_address(address: str, reference: dict[str, Any]) -> str | int:
    if reference["service"] == "address":
        return address
    host, port = parted(address)
    if reference["service"] == "host":
        return host
    if port is None:
        cure = "give it port=, or ctx.signal_ready(port=...)"
        raise ResolveError(f"{show(reference)} is not known: the service told only that it is at {address}; {cure}")
    return port


def joined(host: str, port: int | None) -> str:
    """An address. Where a port follows an IPv6 host stands in brackets."""
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parted(address: str) -> tuple[str, int | None]:
    host, colon, port = address.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return address, None
    return host.strip("[]"), int(port)


def _param(name: str, view: View) -> Any:
    if name not in view.params:
        known = ", ".join(map(repr, view.params)) or "none"
        raise ResolveError(f"the run has no parameter {name!r}; it was given {known}")
    return view.params[name]


def _walk(value: Any, path: Sequence[str | int], reference: dict[str, Any]) -> Any:
    for depth, part in enumerate(path):
        try:
            value = _part(value, part)
        except LookupError:
            whole = show(reference)
            at = show(_shortened(reference, depth))
            raise ResolveError(f"{whole} does not exist: {at} is {kind(value)} without {part!r}: {quoted(value)}") from None
    return value


def _part(value: Any, part: str | int) -> Any:
    if isinstance(value, dict) and isinstance(part, str):
        return value[part]
    if isinstance(value, list) and isinstance(part, int) and part >= 0:
        return value[part]
    raise LookupError(part)


def _shortened(reference: dict[str, Any], depth: int) -> dict[str, Any]:
    key = "$item" if "$item" in reference else "path"
    return {**reference, key: list(reference[key])[:depth]}


def is_absent(name: str, view: View) -> bool:
    """Whether that node is final without an output. An omitted fan-out has one: no items, no outputs. A service that is ready
    has an address."""
    status = view.node_status(name)
    if status is NodeStatus.READY:
        return False
    return status is not NodeStatus.SUCCEEDED and not (status is NodeStatus.OMITTED and view.mapped(name))


_CAME_TO = {
    NodeStatus.FAILED: "failed",
    NodeStatus.SUCCEEDED: "succeeded",
    NodeStatus.RUNNING: "is running",
    NodeStatus.READY: "is ready",
}


def came_to(name: str, view: View) -> str:
    """What became of that node: ``publish failed``, ``publish was skipped``."""
    status = view.node_status(name)
    return f"{name} {_CAME_TO.get(status, f'was {status}')}"


def absent_inputs(view: View, node: Node) -> list[str]:
    """Names of the nodes without output that feed inputs which do not accept null."""
    needed = (value for name, value in node.inputs.items() if name not in node.optional)
    return sorted({name for value in needed for name in refs_in(value) if is_absent(name, view)})


# -- looking at references without following them ----------------------------------------------------------------------


def marker(value: dict[str, Any]) -> str | None:
    """The reserved key that makes this object a reference."""
    for key in RESERVED:
        if key in value:
            return key
    return None


def markers(value: Any) -> Iterator[dict[str, Any]]:
    """Every reference in ``value``, however deep, in order. What stands in a ``$literal`` is data."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if marker(part) is None:
                pending.extend(reversed(part.values()))
            else:
                yield part
        elif isinstance(part, list | tuple):
            pending.extend(reversed(part))


def refs_in(value: Any) -> set[str]:
    """Names of the nodes whose output ``value`` refers to."""
    return {found["$ref"] for found in markers(value) if "$ref" in found}


def show(value: Any) -> str:
    """A reference as a person writes it: ``data-proxy.dataset[0]``; anything else as JSON."""
    if not isinstance(value, dict) or marker(value) is None:
        return quoted(value)
    if "$ref" in value:
        if "service" in value:
            return f"{value['$ref']}.{value['service']}"
        base = str(value["$ref"]) + (f".outputs.{value['output']}" if value.get("output") is not None else "")
        return base + _path(value.get("path", ()))
    if "$item" in value:
        return "item" + _path(value["$item"])
    if "$param" in value:
        return f"params.{value['$param']}" + _path(value.get("path", ()))
    return quoted(value["$literal"])


def _path(path: Sequence[str | int]) -> str:
    return "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in path)


def quoted(value: Any) -> str:
    """The first ``QUOTED`` bytes of it as JSON."""
    encoded = msgspec.json.encode(value)
    text = encoded[:QUOTED].decode("utf-8", errors="ignore")
    return text if len(encoded) <= QUOTED else f"{text}... ({len(encoded):,} bytes)"


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}


def kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)

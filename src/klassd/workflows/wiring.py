"""From values with references in them to the data of a definition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from klassd.workflows.fields import Field, describe, encode
from klassd.workflows.references import Condition, Reference, Wire, escaped, wire_of
from klassd.workflows.rules.inputs import RESERVED
from klassd.workflows.shapes import element, fits, item, members

_KEYS = f"expected text, and none of {', '.join(RESERVED)}"


class Wiring:
    """Writes values as data, and gathers the references they hold and what is wrong with them."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.problems: list[str] = []

    def value(self, value: object, type_: Any, where: str) -> Any:
        """``value`` as data for a place of type ``type_`` that messages call ``where``."""
        if isinstance(value, Reference):
            return self._reference(wire_of(value), type_, where)
        if (misplaced := _misplaced(value)) is not None:
            return self._problem(where, misplaced)
        if not _holds_reference(value):
            return self._literal(value, type_, where)
        return self._container(value, type_, where)

    def _reference(self, wire: Wire, type_: Any, where: str) -> Any:
        self.wires.append(wire)
        if not fits(wire.type, type_):
            each = element(wire.type)
            cure = (
                f"; for one execution per item: wf.map(..., over={wire.text})" if each is not None and fits(each, type_) else ""
            )
            self._problem(where, f"expected {describe(type_)}, got {wire.text} of type {describe(wire.type)}{cure}")
        return wire.data()

    def _literal(self, value: object, type_: Any, where: str) -> Any:
        try:
            return escaped(encode(Field(where, type_), value, "deterministic"))  # a set has no order, but the hash needs one
        except ValueError as error:
            self.problems.append(str(error))
        return None

    def _container(self, value: Any, type_: Any, where: str) -> Any:
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return [self.value(each, _item_type(type_, place), f"{where}[{place}]") for place, each in enumerate(value)]
        if isinstance(value, dict):
            return self._object(((key, key, _item_type(type_, key), each) for key, each in value.items()), where)
        if found := members(type(value)):
            parts = ((name, step, hint, getattr(value, name)) for name, (step, hint) in found.items())
            return self._object(parts, where)
        return self._problem(where, f"a {type(value).__name__} cannot hold a reference; use a list, a dict or a dataclass")

    def _object(self, parts: Iterable[tuple[Any, Any, Any, Any]], where: str) -> Any:
        data = {}
        for name, key, type_, value in parts:
            if isinstance(key, str) and key not in RESERVED:
                data[key] = self.value(value, type_, f"{where}.{name}")
            else:
                self._problem(where, f"the key {key!r} cannot stand beside a reference: {_KEYS}")
        return data

    def _problem(self, where: str, problem: str) -> None:
        self.problems.append(f"field {where!r}: {problem}")


def _misplaced(value: object) -> str | None:
    if isinstance(value, Condition):
        return "a condition belongs to when=, not to an input"
    where = getattr(type(value), "__klassd_node__", None)
    return f"{value!r} is the node itself; its value is {where}" if where else None


def _holds_reference(value: object) -> bool:
    try:
        return isinstance(value, Reference) or any(map(_holds_reference, _parts(value)))
    except RecursionError:  # it contains itself; writing it as JSON will say so
        return False


def _parts(value: Any) -> Iterator[object]:
    """What a value consists of. Nodes and conditions count as references: they are misplaced."""
    if _misplaced(value):
        yield _MARK
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value):
        yield from (getattr(value, name) for name in members(type(value)))


_MARK = Reference(Wire(None, {}, ""))


def _item_type(type_: Any, key: Any) -> Any:
    try:
        return item(type_, key)[1]
    except Exception:
        return Any

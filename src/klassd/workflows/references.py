"""What stands for a value while a workflow is built: references to outputs, items and parameters, and conditions on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from klassd.workflows.errors import KlassdError
from klassd.workflows.fields import to_json
from klassd.workflows.model import workflow as model
from klassd.workflows.rules.inputs import RESERVED
from klassd.workflows.shapes import NoSuchMember, Step, fits, is_open, item, member

Operator = Literal["==", "!=", "<", "<=", ">", ">="]


class ReferenceMisuse(KlassdError, TypeError):
    """A reference was used as if its value were there already; says which, and what to do instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Wire:
    """Where a value will come from."""

    workflow: object
    root: dict[str, Any]  # {"$ref": node}, with "output" for a named one; {"$item": ...}; {"$param": name}
    text: str  # as it is written: markets.output.market_ids
    type: Any = Any
    path: tuple[Step, ...] = ()
    node: str = ""  # that must be final first
    item_of: str = ""  # the fan-out whose item it is

    def data(self) -> dict[str, Any]:
        """As it stands in a definition."""
        path = list(self.path)
        if "$item" in self.root:
            return {"$item": path}
        if "$param" in self.root:
            return {**self.root, "path": path} if path else dict(self.root)
        return {**self.root, "path": path}

    def then(self, step: Step, text: str, type_: Any) -> Wire:
        return Wire(self.workflow, self.root, self.text + text, type_, (*self.path, step), self.node, self.item_of)

    @property
    def what(self) -> str:
        if self.item_of:
            return f"{self.text} is an item of the fan-out {self.item_of!r}"
        return f"{self.text} is " + (f"the output of node {self.node!r}" if self.node else "a parameter of the run")


# -- misuse ---------------------------------------------------------------------------------------------------------

_IF = "if, and, or, not and chained comparisons cannot look at it; give a condition to when=, joined with & | ~"
_DECIDED = "it is no value to compare or to keep in a set; use it as it is, or ~ for its opposite"
_LOOP = "it cannot be looped over; for one execution per item use wf.map(name, lambda item: ..., over=...)"
_TEXT = "text cannot be made of it; pass it to a job as an input and make the text there"
_NUMBER = "nothing can be computed with it; pass it to a job as an input and compute there"
_KEY = "it can be neither in a set nor a key of a dict; use the node's name"
_METHOD = "it has no methods; pass it to a job as an input and call them there"
_CHANGE = "it cannot be changed; a job returns a new value"

_CURES = {
    _IF: "bool",
    _LOOP: "iter len contains reversed length_hint next",
    _TEXT: "str format bytes fspath",
    _NUMBER: "int float complex index round trunc floor ceil neg pos abs divmod rdivmod"
    " add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul"
    " lshift rlshift rshift rrshift xor rxor",
    _METHOD: "call await enter exit aenter aexit aiter",
    _CHANGE: "setattr delattr setitem delitem",
}


def _refusing(cure: str) -> Any:
    def refuse(self: Any, *_: object, **__: object) -> NoReturn:
        if isinstance(self, Reference):
            raise ReferenceMisuse(f"{wire_of(self).what}, known only when the workflow runs: {cure}")
        raise ReferenceMisuse(f"{self!r} holds or not only when the workflow runs: {cure}")

    return refuse


# -- references and conditions --------------------------------------------------------------------------------------


class Reference:
    """The value of ``node.output`` and the like. Its attributes and items are references again."""

    __slots__ = ("_klassd_wire",)
    __klassd_reference__ = True
    _klassd_wire: Wire

    __hash__ = _refusing(_KEY)

    def __init__(self, wire: Wire) -> None:
        object.__setattr__(self, "_klassd_wire", wire)

    def __getattr__(self, name: str) -> Reference:
        if name.startswith("__"):
            raise AttributeError(name)  # what copy, inspect and the like ask for
        wire = self._klassd_wire
        try:
            step, type_ = member(wire.type, name)
        except NoSuchMember as error:
            raise AttributeError(f"{wire.text}: {error}") from None
        return Reference(wire.then(step, f".{name}", type_))

    def __getitem__(self, key: object) -> Reference:
        wire = self._klassd_wire
        try:
            step, type_ = item(wire.type, key)
        except NoSuchMember as error:
            raise ReferenceMisuse(f"{wire.text}: {error}") from None
        return Reference(wire.then(step, f"[{key!r}]", type_))

    def __repr__(self) -> str:
        return f"<reference {self._klassd_wire.text}>"

    def __copy__(self) -> Reference:
        return self

    def __deepcopy__(self, memo: object) -> Reference:
        return self

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return compare("==", self, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return compare("!=", self, other)

    def __lt__(self, other: object) -> Condition:
        return compare("<", self, other)

    def __le__(self, other: object) -> Condition:
        return compare("<=", self, other)

    def __gt__(self, other: object) -> Condition:
        return compare(">", self, other)

    def __ge__(self, other: object) -> Condition:
        return compare(">=", self, other)

    def __and__(self, other: object) -> Condition:
        return condition(self) & other

    def __rand__(self, other: object) -> Condition:
        return condition(other) & self

    def __or__(self, other: object) -> Condition:
        return condition(self) | other

    def __ror__(self, other: object) -> Condition:
        return condition(other) | self

    def __invert__(self) -> Condition:
        return ~condition(self)


class Condition:
    """Decides whether a node runs, from data that is known by then. Joined with ``&``, ``|`` and ``~``."""

    __slots__ = ("data", "problems", "wires")
    __bool__ = _refusing(_IF)
    __eq__ = __ne__ = __hash__ = _refusing(_DECIDED)

    def __init__(self, data: model.Condition, wires: Sequence[Wire], problems: Sequence[str] = ()) -> None:
        self.data = data
        self.wires = tuple(wires)
        self.problems = tuple(problems)

    def __and__(self, other: object) -> Condition:
        return _joined(model.All, self, condition(other))

    def __rand__(self, other: object) -> Condition:
        return _joined(model.All, condition(other), self)

    def __or__(self, other: object) -> Condition:
        return _joined(model.AnyOf, self, condition(other))

    def __ror__(self, other: object) -> Condition:
        return _joined(model.AnyOf, condition(other), self)

    def __invert__(self) -> Condition:
        return Condition(model.Not(self.data), self.wires, self.problems)

    def __repr__(self) -> str:
        return f"<condition on {', '.join(wire.text for wire in self.wires) or 'nothing'}>"


def condition(value: object) -> Condition:
    """Of what is given as one: a condition, a reference to a boolean, or a boolean known at build time."""
    if isinstance(value, Condition):
        return value
    if isinstance(value, bool):
        return Condition(model.Truth(value), ())
    if isinstance(value, Reference):
        wire = wire_of(value)
        if not is_open(wire.type) and not fits(wire.type, bool):
            raise ReferenceMisuse(
                f"{wire.text} is no boolean: compare it ({wire.text} == ...), with parentheses around each comparison"
            )
        return Condition(model.Truth(wire.data()), (wire,))
    cure = "; call a function with the data it needs: call(function, name=node.output...)" if callable(value) else ""
    raise ReferenceMisuse(f"{value!r} is no condition: expected a comparison, node.failed or node.succeeded{cure}")


def compare(operator: Operator, left: object, right: object) -> Condition:
    data = model.Compare(operator, _operand(left), _operand(right))
    return Condition(data, [wire_of(each) for each in (left, right) if isinstance(each, Reference)])


def _operand(value: object) -> Any:
    return wire_of(value).data() if isinstance(value, Reference) else escaped(to_json(value, order="deterministic"))


def escaped(data: Any) -> Any:
    """JSON of the user's own, marked where it could be taken for a reference."""
    if isinstance(data, dict):
        if any(key in data for key in RESERVED):
            return {"$literal": data}
        return {key: escaped(each) for key, each in data.items()}
    return [escaped(each) for each in data] if isinstance(data, list) else data


def wire_of(reference: Reference) -> Wire:
    return reference._klassd_wire


def _joined(kind: type[model.All] | type[model.AnyOf], left: Condition, right: Condition) -> Condition:
    parts = [part for each in (left, right) for part in (each.data.of if isinstance(each.data, kind) else (each.data,))]
    return Condition(kind(tuple(parts)), (*left.wires, *right.wires), (*left.problems, *right.problems))


for _cure, _names in _CURES.items():
    for _name in _names.split():
        setattr(Reference, f"__{_name}__", _refusing(_cure))

"""Conditions: data that says whether a node runs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from klassd.workflows.errors import KlassdError
from klassd.workflows.model.states import NodeStatus
from klassd.workflows.model.workflow import All, AnyOf, Call, Compare, Condition, Not, Outcome, Truth
from klassd.workflows.rules.inputs import Absent, View, evaluate, kind, marker, quoted, refs_in, show

Caller = Callable[[str, dict[str, Any]], object]

SHOWN = 60  # characters of a value in a description
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_OUTCOMES = {"failed": NodeStatus.FAILED, "succeeded": NodeStatus.SUCCEEDED}


class ConditionError(KlassdError):
    """A condition without an answer: it raised, or what it gave is no boolean."""


def holds(condition: Condition, view: View, call: Caller | None = None) -> bool:
    """Whether it is true. Raises ``ConditionError``; ``ResolveError`` for a reference that leads nowhere; ``Absent`` where the
    answer depends on the output of a node that has none."""
    match condition:
        case Compare():
            return _compare(condition, view)
        case Truth():
            return _boolean(evaluate(condition.value, view), condition)
        case Outcome():
            return view.node_status(condition.node) is _OUTCOMES[condition.is_]
        case All():
            return _every(condition.of, True, view, call)
        case AnyOf():
            return not _every(condition.of, False, view, call)
        case Not():
            return not holds(condition.of, view, call)
        case Call():
            return _called(condition, view, call)


def _every(parts: tuple[Condition, ...], expected: bool, view: View, call: Caller | None) -> bool:
    """Whether all parts are ``expected``. One that is not decides, whatever the others lack: ``a.failed | (a.output.n > 3)``
    has an answer in either order though a node that failed has no output."""
    absent: Absent | None = None
    for part in parts:
        try:
            if holds(part, view, call) is not expected:
                return False
        except Absent as error:
            absent = absent or error
    if absent is not None:
        raise absent
    return True


def _compare(condition: Compare, view: View) -> bool:
    left, right = evaluate(condition.left, view), evaluate(condition.right, view)
    try:
        return bool(_COMPARE[condition.op](left, right))
    except TypeError:
        found = f"{kind(left)} ({quoted(left)}) with {kind(right)} ({quoted(right)})"
        raise ConditionError(f"{describe(condition)} compares {found}, which have no order") from None


def _called(condition: Call, view: View, call: Caller | None) -> bool:
    arguments = {name: evaluate(value, view) for name, value in condition.arguments.items()}
    if call is None:
        raise ConditionError(f"{describe(condition)} needs the application's code, which is not at hand here")
    try:
        answer = call(condition.function, arguments)
    except Exception as error:
        raise ConditionError(f"{describe(condition)} raised {type(error).__name__}: {error}") from error
    return _boolean(answer, condition)


def _boolean(answer: object, condition: Condition) -> bool:
    if not isinstance(answer, bool):
        raise ConditionError(f"{describe(condition)} gave {_short(repr(answer))}, expected true or false")
    return answer


# -- what a condition speaks of ---------------------------------------------------------------------------------------


def parts(condition: Condition) -> Iterator[Condition]:
    """The condition and every condition in it."""
    pending = [condition]
    while pending:
        part = pending.pop()
        yield part
        if isinstance(part, All | AnyOf):
            pending.extend(reversed(part.of))
        elif isinstance(part, Not):
            pending.append(part.of)


def values(condition: Condition) -> Iterator[Any]:
    """The JSON values in it, which may hold references."""
    for part in parts(condition):
        if isinstance(part, Compare):
            yield from (part.left, part.right)
        elif isinstance(part, Truth):
            yield part.value
        elif isinstance(part, Call):
            yield from part.arguments.values()


def mentions(condition: Condition) -> set[str]:
    """Names of all nodes it speaks of, by outcome or by output."""
    return outcomes(condition).union(*(refs_in(value) for value in values(condition)))


def outcomes(condition: Condition) -> set[str]:
    """Names of the nodes whose outcome it speaks of: for these a failure is an answer, not an obstacle."""
    return {part.node for part in parts(condition) if isinstance(part, Outcome)}


def handles(condition: Condition) -> set[str]:
    """Names of the nodes whose ``.failed`` it speaks of."""
    return {part.node for part in parts(condition) if isinstance(part, Outcome) and part.is_ == "failed"}


# -- in words ---------------------------------------------------------------------------------------------------------


def describe(condition: Condition) -> str:
    """As its author would write it: ``data-proxy.status == 'ok'``."""
    match condition:
        case Compare():
            return f"{_operand(condition.left)} {condition.op} {_operand(condition.right)}"
        case Truth():
            return _operand(condition.value)
        case Outcome():
            return f"{condition.node}.{condition.is_}"
        case All():
            return " and ".join(_inner(part) for part in condition.of)
        case AnyOf():
            return " or ".join(_inner(part) for part in condition.of)
        case Not():
            return f"not {_inner(condition.of)}"
        case Call():
            arguments = ", ".join(f"{name}={_operand(value)}" for name, value in condition.arguments.items())
            return f"{condition.function}({arguments})"


def _inner(condition: Condition) -> str:
    words = describe(condition)
    return f"({words})" if isinstance(condition, All | AnyOf) else words


def _operand(value: Any) -> str:
    is_reference = isinstance(value, dict) and marker(value) is not None
    return show(value) if is_reference else _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."

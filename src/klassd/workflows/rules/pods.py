"""Shapes of pods over one another: executor < job < node, each field by itself.

``merge`` keeps what is cleared as cleared, so it is associative: layers may be merged in any grouping. ``settled`` takes the
clearings away at the end, when nothing lies below any more.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, TypeVar

import msgspec

from klassd.workflows.options import Needs
from klassd.workflows.pods.shape import ALL, ContainerSecurity, ContainerShape, PodSecurity, PodShape

S = TypeVar("S", bound=msgspec.Struct)

NONE = "none"


def merge(*shapes: PodShape) -> PodShape:
    """From the weakest to the strongest."""
    return reduce(_over, shapes, PodShape())


def merge_security(*layers: ContainerSecurity) -> ContainerSecurity:
    """From the weakest to the strongest."""
    return reduce(_over, layers, ContainerSecurity())


def merge_needs(*layers: Needs) -> Needs:
    """From the weakest to the strongest; request and limit each by itself."""
    return reduce(_needs, layers, Needs())


def settled(shape: S) -> S:
    """What is left when nothing lies below: no clearings, and None wherever Kubernetes' own default holds."""
    return type(shape)(**{name: _settled(name, getattr(shape, name)) for name in shape.__struct_fields__})


def _over(low: S, high: S) -> S:
    if getattr(high, "clear", False):
        return high
    return type(low)(**{name: _field(name, getattr(low, name), getattr(high, name)) for name in low.__struct_fields__})


def _field(name: str, low: Any, high: Any) -> Any:
    if name == "clear":
        return low
    if name == "patches":
        return low + high
    if isinstance(high, dict):
        return _entries(low, high)
    if isinstance(high, Needs):
        return _needs(low, high)
    if isinstance(high, PodSecurity | ContainerSecurity):
        return _over(low, high)
    return low if high is None else high


def _entries(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """By key; what a stronger layer replaces stays in its place, for init containers run in this order."""
    return {**({} if ALL in high else low), **high}


def _needs(low: Needs, high: Needs) -> Needs:
    if high.unconstrained:
        return high
    return Needs(
        cpu=_amount(low.cpu, high.cpu),
        memory=_amount(low.memory, high.memory),
        ephemeral_storage=_amount(low.ephemeral_storage, high.ephemeral_storage),
        extended={**low.extended, **high.extended},
        unconstrained=low.unconstrained,
    )


def _amount(low: str | None, high: str | None) -> str | None:
    if low is None or high is None:
        return low if high is None else high
    (request, limit), (low_request, low_limit) = sides(high), sides(low)
    if request and limit:
        return high
    return f"{request or low_request}/{limit or low_limit}"


def sides(amount: str) -> tuple[str, str]:
    """Request and limit of "250m/1", "1" (both) or "/1" (a limit alone); empty: nothing is said."""
    request, slash, limit = amount.partition("/")
    return (request, limit) if slash else (amount, amount)


def _settled(name: str, value: Any) -> Any:
    if name == "patches":
        return value[len(value) - value[::-1].index(NONE) :] if NONE in value else value
    if isinstance(value, PodSecurity | ContainerSecurity):
        return settled(value)
    if isinstance(value, dict):
        return {key: _entry(each) for key, each in value.items() if key != ALL and each is not None}
    return None if value == NONE else value


def _entry(value: Any) -> Any:
    return settled(value) if isinstance(value, ContainerShape) else value

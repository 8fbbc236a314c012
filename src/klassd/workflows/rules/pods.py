"""Shapes of pods over one another: executor < job < node, each field by itself.

``merge`` keeps what is cleared as cleared, so it is associative: layers may be merged in any grouping. ``settled`` takes the
clearings away at the end, when nothing lies below any more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any, TypeVar

import msgspec

from klassd.workflows.model.workflow import Node
from klassd.workflows.options import Needs
from klassd.workflows.pod_shape import ALL, ContainerSecurity, ContainerShape, PodSecurity, PodShape
from klassd.workflows.quantities import NONE, limit, sides

S = TypeVar("S", bound=msgspec.Struct)


def merge(*shapes: PodShape) -> PodShape:
    """From the weakest to the strongest."""
    return reduce(_over, shapes, PodShape())


def asked(node: Node, configured: Mapping[str, Needs], memory: str | None = None) -> PodShape | None:
    """What is said of a node's pods by its job, itself and the configuration of resources, in that order. None: nothing.

    ``memory``: what it has grown to after an out-of-memory kill.
    """
    shape = _asked(node, configured)
    if memory is None:
        return shape
    needs = (shape.resources if shape else None) or Needs()
    return merge(shape or PodShape(), PodShape(resources=_at_least(needs, memory)))


def _at_least(needs: Needs, memory: str) -> Needs:
    """Unless the layers give as much by now, or take the limit away: somebody may have mended the configuration meanwhile."""
    cleared = NONE in sides(needs.memory or "") or (needs.unconstrained and needs.memory is None)
    enough = limit(needs.memory) != math.inf and limit(needs.memory) >= limit(memory)
    return needs if cleared or enough else Needs(memory=memory)


def _asked(node: Node, configured: Mapping[str, Needs]) -> PodShape | None:
    in_code = None if node.options.resources == Needs() else node.options.resources
    layers = [PodShape(resources=needs) for needs in (in_code, configured.get(node.job)) if needs is not None]
    return merge(node.pod or PodShape(), *layers) if layers else node.pod


def merge_security(*layers: ContainerSecurity) -> ContainerSecurity:
    """From the weakest to the strongest."""
    return reduce(_over, layers, ContainerSecurity())


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
    if low is None or high is None:
        return low if high is None else high
    if name == "patches":
        return low + high
    if isinstance(high, dict):
        return _entries(low, high)
    if isinstance(high, Needs):
        return high.over(low)
    return _over(low, high) if isinstance(high, PodSecurity | ContainerSecurity) else high


def _entries(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """By key; what a stronger layer replaces stays in its place, for init containers run in this order."""
    return {**({} if ALL in high else low), **high}


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

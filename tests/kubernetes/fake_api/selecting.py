"""Label and field selectors: equality, inequality, presence and sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SET = re.compile(r"\s*(\S+)\s+(in|notin)\s+\((.*)\)\s*")
_APART = re.compile(r",(?![^(]*\))")


def labelled(selector: str, item: Mapping[str, Any]) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(_holds(part.strip(), labels) for part in _APART.split(selector) if part.strip())


def _holds(part: str, labels: Mapping[str, str]) -> bool:
    if found := _SET.fullmatch(part):
        name, how, values = found.groups()
        return (labels.get(name) in [value.strip() for value in values.split(",")]) == (how == "in")
    name, operator, value = _split(part)
    if operator:
        return (labels.get(name) == value) == (operator == "=")
    return (name.lstrip("!") in labels) != name.startswith("!")


def _split(part: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        name, found, value = part.partition(operator)
        if found:
            return name.strip(), "!=" if operator == "!=" else "=", value.strip()
    return part, "", ""


def fielded(selector: str, item: Mapping[str, Any]) -> bool:
    for part in filter(None, selector.split(",")):
        path, operator, value = _split(part)
        if (str(_at(item, path)) == value) != (operator == "="):
            return False
    return True


def _at(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = (item or {}).get(name)
    return "" if item is None else item

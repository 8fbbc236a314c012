"""Amounts of resources as Kubernetes writes them: ``"250m"``, ``"1.5Gi"``, and request/limit as ``"256Mi/512Mi"``."""

from __future__ import annotations

import math
import re

CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)")
BYTES = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")
_DECIMAL = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_SCALE = _DECIMAL | _BINARY
NONE = "none"  # cleared


def amount(text: str) -> float:
    """As a number. Raises ValueError."""
    found = _AMOUNT.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no quantity: expected a number and a unit, such as '250m' or '1Gi'")
    return float(found[1]) * _SCALE[found[2] or ""]


def sides(both: str) -> tuple[str, str]:
    """Request and limit of "250m/1", "1" (both) or "/1" (a limit alone). Empty: nothing is said; "none": cleared."""
    request, slash, limit = both.partition("/")
    return (request, limit) if slash else (both, both)


def limit(both: str | None) -> float:
    """As a number; infinite where there is none."""
    text = sides(both or "")[1]
    return amount(text) if text and text != NONE else math.inf


def written(size: int) -> str:
    """Bytes, in the largest unit that they are a whole number of."""
    units = [unit for unit, scale in reversed(_BINARY.items()) if size and size % scale == 0]
    return f"{size // int(_BINARY[units[0]])}{units[0]}" if units else str(size)

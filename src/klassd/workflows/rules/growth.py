"""Memory after an out-of-memory kill, as "request/limit": the next attempt asks for more than the killed one had.

What it had is what the executor saw, whatever layer it came from; each attempt's row says it, so the next owner of the run
comes to the same.
"""

from __future__ import annotations

import math

from klassd.workflows.options import Growth
from klassd.workflows.quantities import NONE, amount, limit, sides, written

MEBI = 2**20


def limited(memory: str | None) -> bool:
    """Without a limit it was the node that had no memory left, and there is nothing to grow."""
    return limit(memory) != math.inf


def room(growth: Growth, had: str | None) -> bool:
    return limit(had) < _most(growth)


def grown(growth: Growth, had: str) -> str:
    """Request and limit, each by itself; one that is above ``max`` already stays."""
    request, most = (_grown(growth, side) for side in sides(had))
    return most if request == most else f"{request}/{most}"


def _grown(growth: Growth, had: str) -> str:
    if had in ("", NONE) or amount(had) >= _most(growth):
        return had
    size = math.ceil(amount(had) * growth.memory)
    whole = math.ceil(size / MEBI) * MEBI if size > MEBI else size
    return written(min(whole, _most(growth)))


def _most(growth: Growth) -> int:
    return math.floor(amount(growth.max))


def steps(growth: Growth, had: str) -> int:
    """How often it can grow until ``max``."""
    count = 0
    while room(growth, had):
        had, count = grown(growth, had), count + 1
    return count

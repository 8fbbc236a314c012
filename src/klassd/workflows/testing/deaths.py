"""How an attempt may end that leaves no outcome of its own: what a machine or a cluster would say of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from klassd.workflows.errors import KlassdError
from klassd.workflows.model.execution import Exit
from klassd.workflows.model.states import Cause

KILL = 9
How = Literal["signal", "oom", "evicted", "lost", "deadline", "start_deadline", "image", "exit", "no_result"]

# Every cause that an executor tells by itself. The others take the job's own record, a wish to stop, or a refused launch.
DEATHS: Mapping[str, Exit] = MappingProxyType(
    {
        "signal": Exit(signal=KILL),
        "oom": Exit(reason=Cause.OOM, signal=KILL),
        "evicted": Exit(reason=Cause.EVICTED),
        "lost": Exit(reason=Cause.LOST),
        "deadline": Exit(reason=Cause.DEADLINE),
        "start_deadline": Exit(reason=Cause.START_DEADLINE),
        "image": Exit(reason=Cause.IMAGE),
        "exit": Exit(exit_code=1),
        "no_result": Exit(exit_code=0),
    }
)
NEVER_STARTED = frozenset({Cause.START_DEADLINE, Cause.IMAGE})


def death(how: str) -> Exit:
    """Raises ``KlassdError`` with the ones there are."""
    if how not in DEATHS:
        raise KlassdError(f"an attempt cannot end as {how!r}: expected one of {', '.join(DEATHS)}")
    return DEATHS[how]

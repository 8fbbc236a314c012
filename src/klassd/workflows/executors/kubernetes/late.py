"""The end of a pod whose attempt was given up before, by ``lost_after``: its outcome is stored, so this one counts for nothing.
Whoever looks for what it may have done finds it in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from klassd.workflows.executors.kubernetes.seen import alive, seen
from klassd.workflows.model.execution import Exit

if TYPE_CHECKING:
    from klassd.workflows.executors.kubernetes.view import Known

log = logging.getLogger("klassd.workflows")


@contextmanager
def told_if_late(execution_id: str, known: Known) -> Iterator[None]:
    """Around a change of what is known of its pods."""
    given_up = _given_up(known)
    yield
    if given_up and known.seen.exit is not None:
        log.warning(
            "execution %s was given up before and has ended only now (%s): its late result counts for nothing",
            execution_id,
            _words(seen(None, known.last).exit),
        )


def _given_up(known: Known) -> bool:
    """Others are reaped when their pod is dead."""
    return known.reaped and any(map(alive, known.pods.values())) and known.seen.exit is None


def _words(end: Exit | None) -> str:
    """Of its container alone: that its Job was ended by us meanwhile explains nothing."""
    if end is None or (end.exit_code is None and end.signal is None):
        return "nobody saw how"
    return f"exit code {end.exit_code}" if end.exit_code is not None else f"signal {end.signal}"

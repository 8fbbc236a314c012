"""Executions that the executor has and the store does not know: an older backup of it was restored, or it is another one's."""

from __future__ import annotations

import logging
from collections.abc import Collection

log = logging.getLogger("klassd.workflows")

NAMED = 10


class Strangers:
    """Listed once each, and left alone: whether they are wanted, nobody here can know."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()

    def seen(self, executions: Collection[str]) -> None:
        """All there are now."""
        news = sorted(set(executions) - self._known)
        self._known = frozenset(executions)
        if news:
            more = f" and {len(news) - NAMED:,} more" if len(news) > NAMED else ""
            log.warning(
                "%d execution(s) are here that this store does not know, as after the restore of an older backup, or where two"
                " installations share a place; they are neither stopped nor followed: %s%s",
                len(news),
                ", ".join(news[:NAMED]),
                more,
            )

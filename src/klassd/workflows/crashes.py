"""Ends the process at a marked effect, so that tests see what a crash between any two effects costs.

``KLASSD_CRASH_AT=NAME`` kills a process that comes to that mark as SIGKILL would; ``NAME@3`` the third time it comes there;
``NAME=FILE`` only the process that is the first to remove FILE, so that whatever takes over goes on. Workers do not inherit
it: ``LocalExecutor(env=["KLASSD_CRASH_AT"])`` hands it to them. Unset, a mark is a call of an empty function.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping

VARIABLE = "KLASSD_CRASH_AT"

_KINDS = ("started", "expanded", "marks", "console", "outcome", "final")  # of what a commit says
IN_WORKERS = frozenset(  # a supervisor, the process that forks for it, and a job
    [
        *("before:start.claim", "after:start.claim", "before:fork", "after:fork", "before:born"),
        *("before:spool", "after:spool", "before:end", "after:end"),
        *("before:job", "after:job", "after:result"),
    ]
)
WITH_PODS = frozenset(["inside:launch", "before:grant", "after:grant"])  # of a scheduler, where pods claim their start
MARKS = (
    IN_WORKERS
    | WITH_PODS
    | frozenset(
        [
            # a client
            *("before:enqueue", "after:enqueue", "before:cancel", "after:cancel"),
            # a scheduler and its store
            *("before:renew", "after:renew", "before:claim", "after:claim", "before:release", "after:release"),
            *(f"{moment}:commit.{kind}" for moment in ("before", "after") for kind in _KINDS),
            *("inside:transaction", "after:transaction"),
            # whoever removes old runs
            *("before:prune", "after:prune"),
            # a scheduler and its executor
            *("before:launch", "after:launch", "before:follow", "after:heard", "before:stop", "after:stop"),
            *("before:reap", "inside:reap", "after:reap", "before:spawn", "after:spawn", "after:sweep"),
        ]
    )
)


def _nothing(name: str, kinds: Callable[[], Iterable[str]] | None = None) -> None:
    """``kinds``: of what the effect is made up, each a mark of its own behind a dot."""


def _killer(name: str, times: int, file: str) -> Callable[..., None]:
    if name not in MARKS:
        raise ValueError(f"{VARIABLE} names {name!r}, which is no mark; there are: {', '.join(sorted(MARKS))}")
    left = times

    def mark(reached: str, kinds: Callable[[], Iterable[str]] | None = None) -> None:
        nonlocal left
        if name in ([f"{reached}.{kind}" for kind in kinds()] if kinds else [reached]):
            left -= 1
            if left == 0 and (not file or _removed(file)):
                os.kill(os.getpid(), signal.SIGKILL)

    return mark


def _removed(file: str) -> bool:
    try:
        os.unlink(file)
    except FileNotFoundError:
        return False
    return True


def marker(environ: Mapping[str, str]) -> Callable[..., None]:
    """What a mark does in a process with these variables. Raises ValueError where they name no mark."""
    wanted, _, file = environ.get(VARIABLE, "").partition("=")
    name, _, times = wanted.partition("@")
    return _killer(name, int(times or 1), file) if name else _nothing


mark = marker(os.environ)

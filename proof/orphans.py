"""Processes whose parent was killed, below the process that killed it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from klassd.workflows.executors.local import identity
from klassd.workflows.worker.processes import become_subreaper


@contextmanager
def adopted(spared: Callable[[], Collection[int]]) -> Iterator[Callable[[], None]]:
    """Within it orphans are children of this process, instead of init's. Yields what buries those that have ended, but for
    the ``spared``, whose exit codes others ask for; leaving buries too, and makes this process an ordinary one again."""
    become_subreaper()
    try:
        yield lambda: _bury(spared())
    finally:
        become_subreaper(False)
        _bury(spared())


def _bury(spared: Collection[int]) -> None:
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        if pid not in spared and identity.find(pid) is None:
            with suppress(OSError):  # another one's child, or gone
                os.waitpid(pid, os.WNOHANG)

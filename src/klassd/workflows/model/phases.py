"""How far an execution came, and when: what its row does not say already."""

from __future__ import annotations

import msgspec


class Phases(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Seconds since the epoch (UTC), each by the clock of whoever saw it. None: it has not come so far, or nobody can tell.

    Kubernetes tells its own in whole seconds, cut off: what it says happened at :07 may have happened at :07.9.
    """

    scheduled: float | None = None  # its pod was given a node
    initialized: float | None = None  # its init containers have ended
    pulled: float | None = None  # its image was there
    process: float | None = None  # the worker's process was made, where it has one for itself
    container: float | None = None  # its container was started, as Kubernetes noted it
    imported: float | None = None  # its code was imported, and its run began; None: it was forked with its code
    first_line: float | None = None  # of its console
    returned: float | None = None  # its run came back, or raised

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self != _NOTHING

    def over(self, before: Phases) -> Phases:
        """What is known now, and of the rest what was known before."""
        known = {name: at for name in self.__struct_fields__ if (at := getattr(self, name)) is not None}
        return msgspec.structs.replace(before, **known)


_NOTHING = Phases()

"""An execution as its executor sees it at this moment. Asked for by whoever looks; nothing of it is stored."""

from __future__ import annotations

import msgspec

from klassd.workflows.model.phases import Phases


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something the cluster tells: an event of the pod or of its Job."""

    at: float | None = None  # when it happened last
    warning: bool = False
    reason: str = ""  # a word: "FailedScheduling", "Pulled", ...
    message: str = ""
    count: int = 1
    of: str = ""  # "pod", "job"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    state: str = ""  # in the executor's own words: "Pending", "Running", ...
    why: str = ""  # what it waits for, or why it ended
    located: dict[str, str | int] = {}
    phases: Phases = Phases()
    conditions: dict[str, str] = {}  # "PodScheduled" -> "True", or "False: " and the reason
    events: tuple[Happening, ...] = ()  # the oldest first

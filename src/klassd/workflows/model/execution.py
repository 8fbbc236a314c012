"""What an executor tells of an execution."""

from __future__ import annotations

from typing import Any

import msgspec

from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import LogChunk
from klassd.workflows.order import End


class Exit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the executor itself knows of the end: a fact of the machine or the cluster."""

    reason: str = ""  # a Cause: "lost", "oom", "evicted", "start_deadline", ...; empty: it just ended
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    memory: str = ""  # of one that was killed for it: request/limit that it had; empty: not known
    warnings: tuple[str, ...] = ()  # what else somebody should know of it


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """It was launched and does not run yet: the latest reason why, in a short sentence. ``held``: by others, on purpose, so
    the time to its start deadline does not run."""

    why: str
    held: bool = False


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody can tell whether it runs: since when, which also tells one such spell from another, and why, in a short sentence.
    ``since`` None: it is known again."""

    since: float | None
    why: str = ""


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is, in the words of its executor: "pod" and "node", "pid", ... Stored with whatever is stored next."""

    at: dict[str, str | int]


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come, as far as is news. Stored with whatever is stored next."""

    phases: Phases


class Started(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    version: str = ""
    pid: int | None = None


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A service can be used, at ``host``. ``port``: where it chose one itself."""

    at: float
    host: str = ""
    port: int | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    chunk: LogChunk


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """``bars`` by name: {"": {"at": 40.0, "of": 100, "text": "..."}}; the latest of each."""

    bars: dict[str, dict[str, Any]]


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The end: the worker's own record where there is one, and what the executor saw."""

    end: End | None = None
    exit: Exit = Exit()
    outputs: dict[str, bytes] = {}  # name -> JSON, complete and checked against the manifest
    at: float = 0.0


Told = Waiting | Unknown | Located | Reached | Started | Ready | Output | Progress | Finished

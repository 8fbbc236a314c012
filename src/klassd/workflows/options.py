"""How executions of a job are run, as data; and durations as people write them."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from klassd.workflows.quantities import sides

# Causes of a failure that another attempt may mend; the others are ``lifecycle.PERMANENT``.
RETRYABLE = (
    "exception", "exit", "signal", "no_result", "output", "deadline", "start_deadline", "not_ready", "oom", "evicted", "image",
    "lost",
)  # fmt: skip


class Growth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the attempt after an out-of-memory kill asks for."""

    memory: float  # times what the killed one had
    max: str  # and no more than that
    times: int | None = None  # further attempts; None: as long as there is more to ask for


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often a failed task is tried again, and how long it waits. Times in seconds."""

    times: int = 0  # attempts after the first one, for failures that are the job's own
    first: float = 1.0  # wait before the second attempt
    most: float = 300.0  # no wait is longer
    factor: float = 2.0
    jitter: float = 0.1  # +- this part of the wait, so that a thousand failures do not return together
    infrastructure: int = 0  # attempts more, for what the machine or the cluster did to it
    on: dict[str, int] = {}  # the same by cause, for causes that have a budget of their own
    grow: Growth | None = None  # after "oom", which then has a budget of its own


class Needs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Resources of one execution, as written: ``"250m/1"`` is request/limit. Kept for the executor; local ones ignore it.

    ``unconstrained``: whatever a weaker layer asked for is cleared.
    """

    cpu: str | None = None
    memory: str | None = None
    ephemeral_storage: str | None = None
    extended: dict[str, str] = {}  # "nvidia.com/gpu": "1"
    unconstrained: bool = False

    def over(self, weaker: Needs) -> Needs:
        """Laid over a weaker layer: each resource by itself, and its request and its limit each by itself."""
        if self.unconstrained:
            return self
        return Needs(
            cpu=_laid(self.cpu, weaker.cpu),
            memory=_laid(self.memory, weaker.memory),
            ephemeral_storage=_laid(self.ephemeral_storage, weaker.ephemeral_storage),
            extended={**weaker.extended, **self.extended},
            unconstrained=weaker.unconstrained,
        )


class EngineOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a worker runs a container: with which program, and what it may use at most."""

    path: str  # of docker or podman
    memory: int = 0  # bytes; 0: no limit
    cpus: float = 0.0
    port: int = 0  # where a service listens in it, to be published at a free one of this machine
    host_network: bool = False  # it uses a service, and those are at 127.0.0.1


def _laid(strong: str | None, weak: str | None) -> str | None:
    if strong is None or weak is None:
        return weak if strong is None else strong
    (request, limit), (weak_request, weak_limit) = sides(strong), sides(weak)
    return strong if request and limit else f"{request or weak_request}/{limit or weak_limit}"


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job class or a node says of how its executions are run. Times in seconds."""

    timeout: float | None = None  # from start to end of one execution
    grace: float = 10.0  # between the request to stop and the kill
    start_deadline: float | None = None  # from launch to start
    lost_after: float | None = None  # without a word from its machine, until it is told as lost; None: never
    retry: RetryPolicy = RetryPolicy()
    queue: str = "default"
    priority: int = 0  # higher first
    resources: Needs = Needs()


class Service(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a long-running node tells that it can be used. Times in seconds."""

    ready: Literal["signal", "tcp", "http"] = "signal"
    path: str = ""  # of the HTTP request
    port: int | None = None  # 0: a free one, chosen where it runs
    ready_within: float | None = None  # from its start


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def seconds(value: str | float, what: str = "duration") -> float:
    """``"90s"``, ``"1h30m"``, ``"250ms"`` or a number (also as text), as seconds. Raises ValueError naming ``what``."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{what} is {value!r}: expected seconds, or text such as '30s', '5m', '1h30m'")
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        if not text or _PART.sub("", text).strip():
            raise ValueError(f"{what} is {value!r}: expected text such as '30s', '5m', '1h30m' (units: ms s m h d)")
        value = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if value < 0:
        raise ValueError(f"{what} is {value!r}: expected a duration that is not negative")
    return float(value)

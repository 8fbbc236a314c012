"""The options of a job as people write them, checked and turned into ``options.Options``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypedDict

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.importable import near
from klassd.workflows.options import RETRYABLE, Needs, Options, RetryPolicy, seconds

_CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")
_DECIMAL = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_SCALE = _DECIMAL | _BINARY


@dataclass(frozen=True)
class Retry:
    """Try a failed task again, up to ``times`` more.

    What the machine or the cluster did to an attempt (lost, evicted, out of memory, no image, no start) does not count against
    ``times`` but against ``infrastructure``. ``on`` gives causes budgets of their own, ``{"evicted": 20, "deadline": 0}``.
    ``backoff``: the wait before the first retry and the longest wait, "10s..5m"; one duration ("30s") for waits that stay
    the same. Each wait is ``factor`` times the one before, give or take ``jitter`` of it. Raises ``ConfigurationError``.
    """

    times: int
    backoff: str | float = "1s..5m"
    factor: float = 2.0
    jitter: float = 0.1
    infrastructure: int = 3
    on: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _expect(_is_int(self.times) and self.times >= 0, "Retry", "times", self.times, "a number of retries, 0 or more")
        _expect(_is_number(self.factor) and self.factor >= 1, "Retry", "factor", self.factor, "a number of at least 1")
        _expect(_is_number(self.jitter) and 0 <= self.jitter < 1, "Retry", "jitter", self.jitter, "a part of the wait, 0 to 1")
        _expect(
            _is_int(self.infrastructure) and self.infrastructure >= 0,
            "Retry",
            "infrastructure",
            self.infrastructure,
            "a number of retries, 0 or more",
        )
        for cause, times in self.on.items():
            _expect(cause in RETRYABLE, "Retry", "on", cause, f"a cause of failure: {', '.join(RETRYABLE)}")
            _expect(_is_int(times) and times >= 0, "Retry", f"on[{cause!r}]", times, "a number of retries, 0 or more")
        first, most = self._waits()
        _expect(first <= most, "Retry", "backoff", self.backoff, "the first wait not longer than the longest, '10s..5m'")

    def _waits(self) -> tuple[float, float]:
        first, _, most = self.backoff.partition("..") if isinstance(self.backoff, str) else (self.backoff, "", "")
        try:
            return seconds(first), seconds(most or first)
        except ValueError:
            raise _wrong("Retry", "backoff", self.backoff, "'10s..5m' (first..longest wait) or one duration") from None

    @property
    def policy(self) -> RetryPolicy:
        first, most = self._waits()
        return RetryPolicy(
            times=self.times,
            first=first,
            most=most,
            factor=float(self.factor),
            jitter=float(self.jitter),
            infrastructure=self.infrastructure,
            on=dict(self.on),
        )


@dataclass(frozen=True)
class Resources:
    """What one execution needs: ``cpu="250m/1"``, ``memory="256Mi/512Mi"`` (request/limit; one value is both).

    Units as in Kubernetes. "none" clears what a default would ask for. Local executors ignore it.
    Raises ``ConfigurationError``.
    """

    cpu: str | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        _check_quantity("cpu", self.cpu, _CPU, "'250m', '1' or '250m/1' (request/limit) or 'none'")
        _check_quantity("memory", self.memory, _MEMORY, "'256Mi' or '256Mi/512Mi' (request/limit) or 'none'")

    @property
    def needs(self) -> Needs:
        return Needs(cpu=self.cpu, memory=self.memory)


def _check_quantity(name: str, value: Any, form: re.Pattern[str], expected: str) -> None:
    if value is None:
        return
    parts = value.split("/") if isinstance(value, str) else []
    found = [part if part == "none" else form.fullmatch(part) for part in parts]
    _expect(1 <= len(found) <= 2 and all(found), "Resources", name, value, expected)
    amounts = [float(each[1]) * _SCALE[each[2] or ""] for each in found if isinstance(each, re.Match)]
    _expect(amounts == sorted(amounts), "Resources", name, value, "a request not larger than its limit")


class NodeOptions(TypedDict, total=False):
    """Of a job or of one node. Durations are seconds or text such as "1h30m"."""

    timeout: str | float | None
    retry: Retry
    queue: str
    priority: int
    start_deadline: str | float | None
    grace: str | float
    resources: Resources


class ClassOptions(NodeOptions, total=False):
    """Of a job."""

    key: str


def checked(owner: str, given: Mapping[str, Any], *, keyed: bool = True) -> dict[str, Any]:
    """Options as written to fields of ``Options`` (and ``key``). Raises ``ConfigurationError`` with all problems."""
    known = _CHECKS if keyed else {name: check for name, check in _CHECKS.items() if name != "key"}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in given.items():
        try:
            if name not in known:
                raise ConfigurationError(f"{owner}: there is no option {name!r}.{near(name, known) or _all(known)}")
            values[name] = known[name](owner, name, value)
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("; ".join(problems))
    return values


def merged(base: Options, *layers: Mapping[str, Any]) -> Options:
    """Checked options over one another: the last one given wins, each by itself."""
    values: dict[str, Any] = {}
    for layer in layers:
        values.update(layer)
    values.pop("key", None)
    return msgspec.structs.replace(base, **values)


def _all(known: Iterable[str]) -> str:
    return f" There are {', '.join(known)}."


def _wrong(owner: str, name: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{owner}: {name} is {value!r}: expected {expected}")


def _expect(holds: bool, owner: str, name: str, value: object, expected: str) -> None:
    if not holds:
        raise _wrong(owner, name, value, expected)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _duration(owner: str, name: str, value: Any, least: float = 0.0) -> float:
    expected = f"{'a duration' if least == 0 else 'a duration longer than 0'}: seconds, or text such as '30s', '5m', '1h30m'"
    try:
        found = seconds(value)
    except ValueError:
        raise _wrong(owner, name, value, expected) from None
    _expect(isfinite(found) and found >= least, owner, name, value, expected)
    return found


def _limit(owner: str, name: str, value: Any) -> float | None:
    return None if value is None else _duration(owner, name, value, least=0.001)


def _retry(owner: str, name: str, value: Any) -> RetryPolicy:
    _expect(isinstance(value, Retry), owner, name, value, "Retry(times, backoff='10s..5m')")
    policy: RetryPolicy = value.policy
    return policy


def _resources(owner: str, name: str, value: Any) -> Needs:
    _expect(isinstance(value, Resources), owner, name, value, "Resources(cpu='250m/1', memory='256Mi/512Mi')")
    needs: Needs = value.needs
    return needs


def _priority(owner: str, name: str, value: Any) -> int:
    _expect(_is_int(value), owner, name, value, "a whole number; higher goes first")
    return int(value)


def _word(owner: str, name: str, value: Any) -> str:
    good = isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable() and value == value.strip()
    _expect(good, owner, name, value, "a name of 1 to 200 printable characters")
    return str(value)


_CHECKS: dict[str, Callable[[str, str, Any], Any]] = {
    "key": _word,
    "timeout": _limit,
    "retry": _retry,
    "queue": _word,
    "priority": _priority,
    "start_deadline": _limit,
    "grace": _duration,
    "resources": _resources,
}

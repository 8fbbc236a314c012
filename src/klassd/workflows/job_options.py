"""The options of a job as people write them, checked and turned into ``options.Options``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.importable import near
from klassd.workflows.options import RETRYABLE, Growth, Needs, Options, RetryPolicy, seconds
from klassd.workflows.quantities import BYTES, CPU, NONE, amount, limit, sides

if TYPE_CHECKING:
    from klassd.workflows.pod_shape import PodShape
    from klassd.workflows.pods import Pod

LEAST_GROWTH = 1.1  # of memory: a smaller step costs an attempt and helps nobody

_EXTENDED = re.compile(
    r"(?!([a-z0-9-]+\.)*kubernetes\.io/)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9][A-Za-z0-9._-]*|hugepages-\w+"
)


@dataclass(frozen=True, kw_only=True)
class Grow:
    """After an out-of-memory kill the next attempt asks for ``memory`` times what the killed one had, request and limit, and
    for no more than ``max``. One that is killed at ``max`` is not tried again.

    ``times``: after so many further attempts it is given up sooner. Raises ``ConfigurationError``.
    """

    memory: float = 2.0
    max: str
    times: int | None = None

    def __post_init__(self) -> None:
        least = _is_number(self.memory) and self.memory >= LEAST_GROWTH
        _expect(least, "Grow", "memory", self.memory, f"a factor of at least {LEAST_GROWTH:g}, such as 2")
        good = isinstance(self.max, str) and BYTES.fullmatch(self.max) is not None and amount(self.max) >= 1
        _expect(good, "Grow", "max", self.max, "the most memory an attempt may ask for, such as '8Gi'")
        times = self.times is None or (_is_int(self.times) and self.times > 0)
        _expect(times, "Grow", "times", self.times, "a number of retries, 1 or more")

    @property
    def growth(self) -> Growth:
        return Growth(memory=float(self.memory), max=self.max, times=self.times)


@dataclass(frozen=True)
class Retry:
    """Try a failed task again, up to ``times`` more.

    What the machine or the cluster did to an attempt (lost, evicted, out of memory, no image, no start) does not count against
    ``times`` but against ``infrastructure``. ``on`` gives causes budgets of their own, ``{"evicted": 20, "deadline": 0}``,
    and lets memory grow: ``{"oom": Grow(memory=2, max="8Gi")}``.
    ``backoff``: the wait before the first retry and the longest wait, "10s..5m"; one duration ("30s") for waits that stay
    the same. Each wait is ``factor`` times the one before, give or take ``jitter`` of it. Raises ``ConfigurationError``.
    """

    times: int
    backoff: str | float = "1s..5m"
    factor: float = 2.0
    jitter: float = 0.1
    infrastructure: int = 3
    on: Mapping[str, int | Grow] = field(default_factory=dict)

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
            _expect(_is_budget(cause, times), "Retry", f"on[{cause!r}]", times, _budget(cause))
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
            on={cause: times for cause, times in self.on.items() if not isinstance(times, Grow)},
            grow=next((each.growth for each in self.on.values() if isinstance(each, Grow)), None),
        )


def _is_budget(cause: str, given: object) -> bool:
    return (isinstance(given, Grow) and cause == "oom") or (_is_int(given) and given >= 0)  # type: ignore[operator]


def _budget(cause: str) -> str:
    return "a number of retries, 0 or more" + (", or Grow(memory=2, max='8Gi')" if cause == "oom" else "")


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one execution needs: ``cpu="250m/1"``, ``memory="256Mi/512Mi"`` (request/limit; one value is both, "/1" a limit
    alone), ``extended={"nvidia.com/gpu": 1}``.

    Units as in Kubernetes. "none" clears what a default would ask for; ``resources="unconstrained"`` clears all of it. Local
    executors ignore it. Raises ``ConfigurationError`` with all problems.
    """

    cpu: str | None = None
    memory: str | None = None
    ephemeral_storage: str | None = None
    extended: Mapping[str, str | int] = {}

    def __post_init__(self) -> None:
        problems = [
            *_quantity("cpu", self.cpu, CPU, "'250m', '1' or '250m/1' (request/limit) or 'none'"),
            *_quantity("memory", self.memory, BYTES, "'256Mi' or '256Mi/512Mi' (request/limit) or 'none'"),
            *_quantity("ephemeral_storage", self.ephemeral_storage, BYTES, "'1Gi' or '1Gi/2Gi' (request/limit) or 'none'"),
            *_extended(self.extended),
        ]
        if problems:
            raise ConfigurationError("; ".join(f"Resources: {problem}" for problem in problems))

    @property
    def needs(self) -> Needs:
        extended = {name: str(amount) for name, amount in self.extended.items()}
        return Needs(cpu=self.cpu, memory=self.memory, ephemeral_storage=self.ephemeral_storage, extended=extended)


def needs_of(given: Resources | Literal["unconstrained"]) -> Needs:
    return given.needs if isinstance(given, Resources) else Needs(unconstrained=True)


def _quantity(name: str, value: Any, form: re.Pattern[str], expected: str) -> Iterator[str]:
    if value is None:
        return
    parts = [part for part in sides(value) if part] if isinstance(value, str) and value.count("/") < 2 else []
    found = [part if part == NONE else form.fullmatch(part) for part in parts]
    if not found or not all(found):
        yield f"{name} is {value!r}: expected {expected}"
        return
    amounts = [amount(part) for part in parts if part != NONE]
    if amounts != sorted(amounts):
        yield f"{name} is {value!r}: expected a request not larger than its limit"


def _extended(extended: Any) -> Iterator[str]:
    if not isinstance(extended, Mapping):
        yield f"extended is {extended!r}: expected names with amounts, such as {{'nvidia.com/gpu': 1}}"
        return
    for name, count in extended.items():
        if not isinstance(name, str) or not _EXTENDED.fullmatch(name):
            yield f"extended has {name!r}: expected a name such as 'nvidia.com/gpu' or 'hugepages-2Mi'"
        if isinstance(count, bool) or (count != NONE and not BYTES.fullmatch(str(count))):
            yield f"extended {name!r} is {count!r}: expected a whole number such as 1, or 'none'"


class NodeOptions(TypedDict, total=False):
    """Of a job or of one node. Durations are seconds or text such as "1h30m"."""

    timeout: str | float | None
    retry: Retry
    queue: str
    priority: int
    start_deadline: str | float | None
    lost_after: str | float | None
    grace: str | float
    resources: Resources | Literal["unconstrained"]
    pod: Pod


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
    problems += _no_room_to_grow(owner, values)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return values


def _no_room_to_grow(owner: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Of options that were written together."""
    retry, needs = values.get("retry"), values.get("resources")
    if retry is None or retry.grow is None or needs is None:
        return
    if (had := limit(needs.memory)) != inf and had >= amount(retry.grow.max):
        yield f"{owner}: Grow: max is {retry.grow.max!r}: expected more than its memory limit, {needs.memory!r} in resources"


def merged(base: Options, *layers: Mapping[str, Any]) -> Options:
    """Checked options over one another: the last one given wins, each by itself, and each resource by itself."""
    values: dict[str, Any] = {}
    for layer in layers:
        if "resources" in layer:
            layer = {**layer, "resources": layer["resources"].over(values.get("resources", base.resources))}
        values.update(layer)
    return msgspec.structs.replace(base, **{name: value for name, value in values.items() if name not in _NOT_OPTIONS})


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
    good = isinstance(value, Resources) or value == "unconstrained"
    _expect(good, owner, name, value, "Resources(cpu='250m/1', memory='256Mi/512Mi') or 'unconstrained'")
    return needs_of(value)


def _pod(owner: str, name: str, value: Any) -> PodShape:
    from klassd.workflows.pods import Pod  # whoever has one has it loaded; others do without

    _expect(isinstance(value, Pod), owner, name, value, "Pod(image=..., env=..., ...)")
    shape: PodShape = value.shape
    return shape


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
    "lost_after": _limit,
    "grace": _duration,
    "resources": _resources,
    "pod": _pod,
}
_NOT_OPTIONS = ("key", "pod")  # kept elsewhere: workers need neither

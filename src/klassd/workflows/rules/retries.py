"""Whether a failed attempt is followed by another one: a budget per kind of failure.

A cause that the policy names has a budget of its own; else what the machine or the cluster did (``INFRASTRUCTURE``) counts
against ``infrastructure``, and the rest against ``times``. So an eviction does not use up what was meant for a job's mistakes.

Where memory grows after an out-of-memory kill, the growth is the budget: it ends where there is no more to ask for.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from klassd.workflows.model.states import Cause
from klassd.workflows.options import Growth, RetryPolicy
from klassd.workflows.quantities import sides
from klassd.workflows.rules import growth
from klassd.workflows.rules.lifecycle import INFRASTRUCTURE, Verdict

Failures = Mapping[Cause | None, int]  # of one task: failed attempts by cause, that of the latest one last
NONE: Failures = {}


def with_failure(failures: Failures, cause: Cause | None) -> Failures:
    others = {each: count for each, count in failures.items() if each is not cause}
    return {**others, cause: failures.get(cause, 0) + 1}


def latest(failures: Failures) -> Cause | None:
    return next(reversed(list(failures)), None)


def may_retry(policy: RetryPolicy, failures: Failures, cause: Cause | None, had: str | None = None) -> bool:
    """``failures``: all of the task so far, this one of ``cause`` among them. ``had``: the memory of this attempt."""
    grow = _growth(policy, cause)
    if grow is None:
        return spent(policy, failures, cause) <= budget(policy, failures, cause)
    if growth.limited(had) and not growth.room(grow, had):
        return False
    return spent(policy, failures, cause) <= budget(policy, failures, cause, asks(policy, cause, had))


def budget(policy: RetryPolicy, failures: Failures, cause: Cause | None, asked: str | None = None) -> int:
    """Further attempts that failures of this kind may cost. ``asked``: the memory that the one after this failure asks for."""
    if (grow := _growth(policy, cause)) is not None:
        if grow.times is not None:
            return grow.times
        if asked is not None and growth.limited(asked):
            return spent(policy, failures, cause) + growth.steps(grow, asked)
        return policy.infrastructure
    if cause is not None and cause in policy.on:
        return policy.on[cause]
    return policy.infrastructure if cause in INFRASTRUCTURE else policy.times


def asks(policy: RetryPolicy, cause: Cause | None, had: str | None) -> str | None:
    """The memory that the attempt after this failure asks for: once it has grown, it stays. None: what the layers say."""
    if policy.grow is None:
        return None
    if cause is Cause.OOM and had is not None and growth.limited(had):
        return growth.grown(policy.grow, had)
    return had


def explained(policy: RetryPolicy, failures: Failures, verdict: Verdict, asked: str | None) -> Verdict:
    """With what becomes of its memory. ``failures``: before this one; ``asked``: the memory it asked for, if it had grown."""
    grow = _growth(policy, verdict.cause)
    if grow is None:
        return verdict
    had = verdict.memory or asked
    message = f"{verdict.message}; {_prospect(policy, grow, with_failure(failures, Cause.OOM), had)}"
    return msgspec.structs.replace(verdict, memory=had, message=message)


def _prospect(policy: RetryPolicy, grow: Growth, failures: Failures, had: str | None) -> str:
    if had is None or not growth.limited(had):
        return "there is no memory limit that could grow"
    if not growth.room(grow, had):
        return f"that is all it may grow to (max={grow.max!r}), so it is not tried again"
    if not may_retry(policy, failures, Cause.OOM, had):
        return f"it has grown as often as it may (times={grow.times})"
    return f"the next attempt gets {sides(growth.grown(grow, had))[1]}"


def _growth(policy: RetryPolicy, cause: Cause | None) -> Growth | None:
    return policy.grow if cause is Cause.OOM else None


def spent(policy: RetryPolicy, failures: Failures, cause: Cause | None) -> int:
    """Failures so far that count against the same budget."""
    kind = _kind(policy, cause)
    return sum(count for each, count in failures.items() if _kind(policy, each) == kind)


def _kind(policy: RetryPolicy, cause: Cause | None) -> Cause | str:
    if cause is not None and (cause in policy.on or (cause is Cause.OOM and policy.grow is not None)):
        return cause
    return "infrastructure" if cause in INFRASTRUCTURE else "times"

"""Whether a failed attempt is followed by another one: a budget per kind of failure.

A cause that the policy names has a budget of its own; else what the machine or the cluster did (``INFRASTRUCTURE``) counts
against ``infrastructure``, and the rest against ``times``. So an eviction does not use up what was meant for a job's mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping

from klassd.workflows.model.states import Cause
from klassd.workflows.options import RetryPolicy
from klassd.workflows.rules.lifecycle import INFRASTRUCTURE

Failures = Mapping[Cause | None, int]  # of one task: failed attempts by cause, that of the latest one last
NONE: Failures = {}


def with_failure(failures: Failures, cause: Cause | None) -> Failures:
    others = {each: count for each, count in failures.items() if each is not cause}
    return {**others, cause: failures.get(cause, 0) + 1}


def latest(failures: Failures) -> Cause | None:
    return next(reversed(list(failures)), None)


def may_retry(policy: RetryPolicy, failures: Failures, cause: Cause | None) -> bool:
    """``failures``: all of the task so far, this one of ``cause`` among them."""
    return spent(policy, failures, cause) <= budget(policy, cause)


def budget(policy: RetryPolicy, cause: Cause | None) -> int:
    """Further attempts that failures of this kind may cost."""
    if cause is not None and cause in policy.on:
        return policy.on[cause]
    return policy.infrastructure if cause in INFRASTRUCTURE else policy.times


def spent(policy: RetryPolicy, failures: Failures, cause: Cause | None) -> int:
    """Failures so far that count against the same budget."""
    kind = _kind(policy, cause)
    return sum(count for each, count in failures.items() if _kind(policy, each) == kind)


def _kind(policy: RetryPolicy, cause: Cause | None) -> Cause | str:
    if cause is not None and cause in policy.on:
        return cause
    return "infrastructure" if cause in INFRASTRUCTURE else "times"

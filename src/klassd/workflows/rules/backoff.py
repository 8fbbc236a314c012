"""How long a failed task waits before it is tried again."""

from __future__ import annotations

from hashlib import blake2b

from klassd.workflows.options import RetryPolicy


def delay(policy: RetryPolicy, attempt: int, seed: str) -> float:
    """Seconds between the failure of ``attempt`` (counted from 1) and the next one: exponential, never above ``policy.most``.

    The jitter is derived from ``seed``, so that whoever decides the same retry gives it the same time.
    """
    wait = _exponential(policy, attempt) * (1 + policy.jitter * (2 * _fraction(seed) - 1))
    return max(0.0, min(policy.most, wait))


def _exponential(policy: RetryPolicy, attempt: int) -> float:
    try:
        return min(policy.most, policy.first * policy.factor ** (attempt - 1))
    except OverflowError:
        return policy.most


def _fraction(seed: str) -> float:
    """From 0 to 1, evenly spread over seeds."""
    return int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big") / 2**64

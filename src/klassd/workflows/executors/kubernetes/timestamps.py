"""Times as the objects of the API have them, as seconds since the epoch (UTC)."""

from __future__ import annotations

from datetime import datetime


def seconds(text: str) -> float:
    """Of ``2026-01-02T03:04:05Z``, with or without a fraction. Raises ValueError where it is none."""
    return datetime.fromisoformat(text).timestamp()


def epoch(text: str | None) -> float | None:
    """None: it says no time; the year 1970 is Kubernetes' for none."""
    try:
        return (seconds(text) or None) if text else None
    except ValueError:
        return None

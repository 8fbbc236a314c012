"""What is wrong with a pod as it was written, all at once: field, value, rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def problems(given: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each problem."""
    yield from ()

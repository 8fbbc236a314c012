"""References to artifacts inside JSON: what a run was given of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from klassd.workflows.artifacts.names import run_of

_ARTIFACT = {"key", "size", "sha256"}  # media_type is left out where it is the default


def is_artifact(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= _ARTIFACT and value.keys() <= _ARTIFACT | {"media_type"}


def artifacts_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every reference to an artifact inside a JSON value."""
    if is_artifact(value):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from artifacts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from artifacts_in(each)


def writers_in(encoded: bytes) -> set[str]:
    """The runs that wrote the artifacts which a JSON document refers to. Cheap for one that refers to none."""
    if b'"sha256"' not in encoded:
        return set()
    return {run_of(each["key"]) for each in artifacts_in(msgspec.json.decode(encoded)) if isinstance(each["key"], str)}

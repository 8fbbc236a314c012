"""Stores, executors and artifact stores by name: our own come in through the same entry points as anybody's."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

from klassd.workflows.errors import ConfigurationError

GROUPS = {"store": "klassd.stores", "executor": "klassd.executors", "artifacts": "klassd.artifacts"}


def load(kind: str, name: str) -> Any:
    """The class or factory registered as ``name`` for ``kind`` ("store", "executor" or "artifacts")."""
    found = entry_points(group=GROUPS[kind])
    for point in found:
        if point.name == name:
            try:
                return point.load()
            except ImportError as error:
                raise ConfigurationError(
                    f"{kind} {name!r} cannot be loaded: {error}. Install what it needs: pip install 'klassd-workflows[{name}]'"
                ) from error
    known = ", ".join(sorted({point.name for point in found})) or "none"
    raise ConfigurationError(f"there is no {kind} named {name!r}; installed: {known}")


def scheme(url: str, what: str) -> str:
    """The part of a URL that names its adapter: ``sqlite`` of ``sqlite:///jobs.db``."""
    name = urlsplit(url).scheme.partition("+")[0]
    if not name:
        raise ConfigurationError(f"{what} is {url!r}: expected a URL such as sqlite:///jobs.db or memory:")
    return {"postgresql": "postgres"}.get(name, name)

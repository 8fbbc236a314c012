"""Where a thing can be imported again, in another process: ``module:name``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from klassd.workflows.errors import ConfigurationError


def source_of(thing: Any, kind: str) -> str:
    """``module:name`` of a class or function. Raises ``ConfigurationError`` with a cure when nobody else can import it."""
    name: str = thing.__qualname__
    if name.rpartition(".")[2] == "<lambda>":
        raise ConfigurationError(f"a lambda is no {kind}: it has no name to import it by; write a function (def) in a module")
    if "." in name:
        raise ConfigurationError(
            f"{kind} {name!r} of {thing.__module__} stands inside a function or class, where no other process can import it;"
            " move it to the top level of its module"
        )
    module = _importable_module(thing.__module__, kind, name)
    if not hasattr(sys.modules.get(thing.__module__), name):
        raise ConfigurationError(
            f"{kind} {name!r} cannot be imported: {thing.__module__} has no {name!r}; give it the name it is assigned to"
        )
    return f"{module}:{name}"


def _importable_module(module: str, kind: str, name: str) -> str:
    if module != "__main__":
        return module
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        raise ConfigurationError(
            f"{kind} {name!r} stands in the script that was started, which no other process can import;"
            f" put it in a module and import it from there, or start the script as python -m MODULE"
        )
    return str(spec.name)


def near(name: str, names: Iterable[str]) -> str:
    """``" Did you mean 'x'?"``, or nothing."""
    from difflib import get_close_matches  # only when something went wrong

    found = get_close_matches(name, list(names), n=2)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""

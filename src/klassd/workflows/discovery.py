"""The jobs that stand in a module or package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job import JobFunction, JobInfo, is_job, job_info


def jobs_in(where: ModuleType | str) -> list[JobInfo]:
    """The jobs defined in a module, or in a package and all its submodules, by name: job classes, ``@job`` functions and
    dataclasses with ``run(self, ctx)``. What a module merely imports is not its own.

    Raises ``ConfigurationError`` for modules that cannot be imported, all at once, and for two jobs with one key.
    """
    root = _imported(where) if isinstance(where, str) else where
    found: dict[str, JobInfo] = {}
    broken: list[str] = []
    for module in _modules(root, broken):
        for info in _own_jobs(module):
            other = found.setdefault(info.key, info)
            if other is not info:
                raise ConfigurationError(
                    f"two jobs have the key {info.key!r}: {other.source} and {info.source}; give one another key="
                )
    if broken:
        raise ConfigurationError("; ".join(broken))
    return sorted(found.values(), key=lambda info: (info.name, info.key))


def _modules(root: ModuleType, broken: list[str]) -> Iterator[ModuleType]:
    """``broken`` gets a sentence for each that cannot be imported."""
    yield root
    for found in iter_modules(getattr(root, "__path__", ()), f"{root.__name__}."):
        if found.name.endswith(".__main__"):  # importing it would start the program
            continue
        try:
            module = _imported(found.name)
        except ConfigurationError as error:
            broken.append(str(error))
        else:
            yield from _modules(module, broken)


def _imported(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"module {name} cannot be imported to look for jobs: {type(error).__name__}: {error}"
        ) from error


def _own_jobs(module: ModuleType) -> Iterator[JobInfo]:
    for name, thing in list(vars(module).items()):
        if not is_job(thing):
            continue
        cls = thing.cls if isinstance(thing, JobFunction) else thing
        if cls.__module__ == module.__name__ and cls.__qualname__ == name:
            try:
                yield job_info(thing)
            except TypeError as error:
                raise ConfigurationError(f"{module.__name__}: {error}") from error

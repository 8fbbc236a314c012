"""What stands in pyproject.toml, what is installed and what the code says are one and the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import klassd.workflows

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_wherever_it_stands() -> None:
    assert PROJECT["version"] == klassd.workflows.__version__ == distribution("klassd-workflows").version
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_bare_install_needs_msgspec_and_rich_only() -> None:
    required = [Requirement(each) for each in distribution("klassd-workflows").requires or []]
    assert {each.name for each in required if each.marker is None} == {"msgspec", "rich"}


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(klassd.workflows.__file__).parent / "py.typed").exists()


def test_klassd_is_a_namespace_that_other_distributions_may_share() -> None:
    assert not (ROOT / "src" / "klassd" / "__init__.py").exists()


@pytest.mark.parametrize("name", [name for name in klassd.workflows.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_is_documented(name: str) -> None:
    thing = getattr(klassd.workflows, name)
    assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), f"{name} has no docstring of its own"


def test_names_for_type_checkers_and_for_run_time_are_the_same() -> None:
    source = Path(klassd.workflows.__file__).read_text()
    for name, module in klassd.workflows._WHERE.items():
        assert f"from klassd.workflows.{module} import {name} as {name}\n" in source


def test_every_lazy_name_is_public() -> None:
    assert set(klassd.workflows.__all__) == {*klassd.workflows._WHERE, "__version__"}


def test_an_unknown_public_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Wrokflow'; it has .*Workflow"):
        klassd.workflows.Wrokflow


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = (
        "import sys, klassd.workflows; print(sorted(m for m in sys.modules if m.startswith(('klassd.', 'msgspec', 'asyncio'))))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "['klassd.workflows']"


@pytest.mark.parametrize("group", sorted(PROJECT["entry-points"]))
def test_every_entry_point_is_installed_and_loads(group: str) -> None:
    installed = {
        point.name: point for point in entry_points(group=group) if point.dist and point.dist.name == "klassd-workflows"
    }
    assert {name: point.value for name, point in installed.items()} == PROJECT["entry-points"][group]
    for point in installed.values():
        assert callable(point.load())


def test_the_command_is_installed() -> None:
    module, _, name = PROJECT["scripts"]["klassd"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_python_that_is_promised_is_classified() -> None:
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {lowest}" in PROJECT["classifiers"]

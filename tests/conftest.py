"""Which test shows which scenario of the fault catalogue, for docs/faults.md; and no property test has a deadline."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from faults_of_suites import SUITES
from hypothesis import HealthCheck, settings

settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no failure
settings.load_profile("untimed")

CATALOGUE = Path(__file__).parents[1] / "docs" / "faults.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", metavar="FILE", help="write which test shows which scenario of docs/faults.toml")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sections = tomllib.loads(CATALOGUE.read_text()).values()
    known = {name for section in sections for name, value in section.items() if isinstance(value, list)}
    shown: dict[str, list[str]] = {}
    for item in items:
        _mark_what_suites_show(item)
        for scenario in _scenarios(item):
            if scenario not in known:
                raise pytest.UsageError(f"{item.nodeid} says that it shows {scenario!r}: docs/faults.toml has no such scenario")
            shown.setdefault(scenario, []).append(item.nodeid)
    if path := config.getoption("--faults"):
        Path(path).write_text(json.dumps(shown))


def _mark_what_suites_show(item: pytest.Item) -> None:
    for base in getattr(getattr(item, "cls", None), "__mro__", ()):
        for scenario in SUITES.get(base.__name__, {}).get(getattr(item, "originalname", ""), ()):
            item.add_marker(pytest.mark.fault(scenario))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """What was skipped, or was expected to fail, shows nothing."""
    report = yield
    excused = item.get_closest_marker("cluster") and not os.environ.get("KLASSD_TEST_KUBECONFIG")  # there is none everywhere
    if report.skipped and not excused and (scenarios := _scenarios(item)):
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)  # pytest counts no failure that has it
        report.longrepr = f"it was skipped, but docs/faults.md names it for {', '.join(scenarios)}: it has to run and to pass"
    return report


def _scenarios(item: pytest.Item) -> list[str]:
    return [scenario for mark in item.iter_markers("fault") for scenario in mark.args]

"""The page of faults claims nothing that no test shows: unknown scenarios, skipped tests and silent gaps are told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults_of_suites import SUITES
from test_documentation_check import check

from klassd.workflows import testing

ROOT = Path(__file__).resolve().parents[2]
faults = check.faults
PASSES = "def test_a_thing_holds(): pass"


def scenario(id_: str, reason: str = "", by_default: bool = False) -> object:
    return faults.Scenario(id_, f"{id_[0]}. A section", "it breaks", "a sentence", reason, by_default)


def run_tests(place: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A project with our catalogue, our plugin and one test module."""
    for name in ("docs/faults.toml", "tests/conftest.py", "tests/faults_of_suites.py"):
        (place / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    (place / "pytest.ini").write_text("[pytest]\nmarkers = fault\n")
    (place / "tests" / "test_things.py").write_text(f"import pytest\n\n{source}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *options, "tests"]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_a_scenario_that_nobody_shows_and_nobody_explains_is_told() -> None:
    known = [scenario("A1"), scenario("A2", "later"), scenario("A3")]
    assert faults.unexplained(known, {"A1": ["tests/x.py::test_a"]}) == [
        "faults.toml: no test shows A3, and [open] does not say why"
    ]


def test_the_page_names_tests_counts_the_rest_and_says_what_is_missing() -> None:
    known = [
        scenario("A1"),
        scenario("A2", "one half"),
        scenario("A3", "later"),
        scenario("B1", "a section's reason", by_default=True),
    ]
    shown = {
        "A1": [f"tests/x.py::TestAll::test_{name}_holds[{case}]" for name in "abcd" for case in "12"],
        "A2": ["tests/y.py::test_half_of_it"],
        "B1": ["tests/y.py::test_b"],
    }
    text = faults.written(known, shown)
    assert text.startswith("Of 4 scenarios 2 are shown by tests, 1 in part, and 1 are open.\n")
    links = "; ".join(f"[{name} holds](../tests/x.py)" for name in "abc")
    assert f"| A1 | it breaks | a sentence | {links}; and 1 more |" in text
    assert "| A2 | it breaks | a sentence | [half of it](../tests/y.py); *not yet: one half* |" in text
    assert "| A3 | it breaks | a sentence | *not yet: later* |" in text
    assert "| B1 | it breaks | a sentence | [b](../tests/y.py) |" in text
    assert text.count("## ") == 2


def test_the_catalogue_is_whole() -> None:
    known = faults.catalogue()
    assert len({scenario.id for scenario in known}) == len(known) == 155
    assert all(scenario.what and scenario.see for scenario in known)


def test_tests_tell_what_they_show(tmp_path: Path) -> None:
    source = f"@pytest.mark.parametrize('x', [1, 2])\n@pytest.mark.fault('A5', 'B1')\n{PASSES.replace('()', '(x)')}"
    done = run_tests(tmp_path, source, "--collect-only", f"--faults={tmp_path}/shown")
    assert done.returncode == 0, done.stdout
    ids = ["tests/test_things.py::test_a_thing_holds[1]", "tests/test_things.py::test_a_thing_holds[2]"]
    assert json.loads((tmp_path / "shown").read_text()) == {"A5": ids, "B1": ids}


def test_a_scenario_that_the_catalogue_does_not_have_stops_the_tests(tmp_path: Path) -> None:
    done = run_tests(tmp_path, f"@pytest.mark.fault('A99')\n{PASSES}")
    assert done.returncode != 0
    assert "says that it shows 'A99': docs/faults.toml has no such scenario" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "source",
    [
        f"@pytest.mark.skip\n@pytest.mark.fault('A5')\n{PASSES}",
        "@pytest.mark.fault('A5')\ndef test_it(): pytest.skip('not here')",
        "@pytest.mark.xfail\n@pytest.mark.fault('A5')\ndef test_it(): assert False",
    ],
)
def test_a_test_that_shows_a_scenario_must_not_be_skipped(tmp_path: Path, source: str) -> None:
    done = run_tests(tmp_path, source)
    assert done.returncode == 1
    assert "it was skipped, but docs/faults.md names it for A5" in done.stdout
    assert run_tests(tmp_path, source.replace("@pytest.mark.fault('A5')\n", "")).returncode == 0


def test_every_test_of_a_suite_that_shows_something_is_there() -> None:
    for suite, tests in SUITES.items():
        assert not [name for name in tests if not hasattr(getattr(testing, suite), name)]

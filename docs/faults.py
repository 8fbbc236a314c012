"""The generated part of faults.md: the catalogue in faults.toml joined with the tests that carry its scenarios.

Tests are asked by collecting them, so the page can only name a test that exists. That each of these passes, and is not skipped,
is held by every run of the tests: see ``tests/conftest.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = Path(__file__).with_name("faults.toml")
PART = "<!-- generated: faults -->"
NAMED = 3  # tests named for a scenario; the rest is counted
Shown = Mapping[str, Sequence[str]]  # scenario -> ids of the tests that show it


@dataclass(frozen=True)
class Scenario:
    id: str
    section: str
    what: str
    see: str
    open: str  # why none shows it, or not all of it
    by_default: bool  # that is its section's reason


def catalogue() -> list[Scenario]:
    data = tomllib.loads(CATALOGUE.read_text())
    reasons = data.pop("open")
    found = []
    for letter, section in data.items():
        title, default = f"{letter}. {section.pop('title')}", section.pop("open", "")
        found += [
            Scenario(id_, title, what, see, reasons.get(id_, default), id_ not in reasons)
            for id_, (what, see) in section.items()
        ]
    if unknown := set(reasons) - {scenario.id for scenario in found}:
        raise ValueError(f"{CATALOGUE.name}: [open] names {', '.join(sorted(unknown))}, which the catalogue does not have")
    return found


@cache
def collected() -> Shown:
    """What the tests say of themselves. Raises RuntimeError with pytest's own words."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", f"--faults={file.name}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            words = done.stdout[done.stdout.find("= ERRORS =") :] + done.stderr
            raise RuntimeError(f"the tests cannot be collected:\n{words}")
        shown: Shown = json.loads(Path(file.name).read_text())
    return shown


def problems() -> list[str]:
    return unexplained(catalogue(), collected())


def page() -> str:
    return written(catalogue(), collected())


def unexplained(known: Sequence[Scenario], shown: Shown) -> list[str]:
    silent = [scenario.id for scenario in known if scenario.id not in shown and not scenario.open]
    return [f"faults.toml: no test shows {id_}, and [open] does not say why" for id_ in silent]


def written(known: Sequence[Scenario], shown: Shown) -> str:
    text = [_summary(known, shown)]
    for section, members in groupby(known, key=lambda scenario: scenario.section):
        text += [f"\n## {section}\n\n", "| | what happens | what you see | shown by |\n", "| --- | --- | --- | --- |\n"]
        text += [f"| {one.id} | {one.what} | {one.see} | {_shown_by(one, shown.get(one.id, ()))} |\n" for one in members]
    return "".join(text)


def _summary(known: Sequence[Scenario], shown: Shown) -> str:
    by_tests = [scenario for scenario in known if scenario.id in shown]
    part = sum(1 for scenario in by_tests if _still_open(scenario))
    counts = f"{len(by_tests) - part} are shown by tests, {part} in part, and {len(known) - len(by_tests)} are open"
    return f"Of {len(known)} scenarios {counts}.\n"


def _still_open(scenario: Scenario) -> str:
    """Of one that is shown: a section's reason no longer holds, one of its own says what is missing."""
    return "" if scenario.by_default else scenario.open


def _shown_by(scenario: Scenario, tests: Sequence[str]) -> str:
    if not tests:
        return f"*not yet: {scenario.open}*"
    named = sorted({_link(test) for test in tests})
    more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    missing = [f"*not yet: {_still_open(scenario)}*"] if _still_open(scenario) else []
    return "; ".join([*named[:NAMED], *more, *missing])


def _link(test: str) -> str:
    file, *_, name = test.partition("[")[0].split("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{file})"

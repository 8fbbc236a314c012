from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from proof import __main__ as battery
from proof import report, witness
from proof.checks import Checks
from proof.jobs import Prints
from proof.plan import Plan

ROOT = Path(__file__).resolve().parents[2]


def test_a_battery_that_fails_says_so_and_ends_with_an_error(tmp_path: Path) -> None:
    told = tmp_path / "proof.json"
    environment = {**os.environ, "PYTEST_ADDOPTS": "--deselect tests/crashes"}  # pytest calls it an error to run nothing
    command = [sys.executable, "-m", "proof", "--short", "--only", "matrix", "--report", str(told)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "crash matrix" in done.stdout and "FAILED" in done.stdout
    assert json.loads(told.read_text())["parts"][0]["passed"] is False


def test_a_report_shows_what_was_tortured_and_every_problem() -> None:
    figures = {"seed": 3, "blows": {"kill job": 1, "kill scheduler": 12}, "runs": 5, "attempts": 1234, "attempts_killed": 2}
    figures |= {"lines": 7, "recovery_p50": 0.5, "recovery_p99": 1.25, "lease": 1.0, "problems": ["x: started 2 times"]}
    text = report.of({"name": "torture", "passed": False, "seconds": 61.2, "figures": figures, "tail": [], "on": "here"})
    assert "FAILED" in text and "1,234" in text and "1.25 s" in text and text.endswith("x: started 2 times")


def test_the_work_has_as_many_jobs_and_about_as_many_lines_as_were_asked_for() -> None:
    plan = Plan(seed=5, jobs=5000, lines=500_000)
    work = list(plan.work())
    alone = [each for each, _ in work if isinstance(each, Prints)]
    assert 5000 <= sum(jobs for _, jobs in work) <= 5025
    assert 2000 <= len(alone) <= 3000
    assert 60 <= sum(each.lines for each in alone) / len(alone) <= 140


def test_the_same_seed_gives_the_same_work() -> None:
    def inputs(seed: int) -> list[tuple[int, float, int]]:
        work = (each for each, _ in Plan(seed=seed, jobs=200).work())
        return [(each.lines, each.hold, each.fails) for each in work if isinstance(each, Prints)]

    assert inputs(5) == inputs(5) != inputs(6)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(witness.VARIABLE, str(tmp_path / "witness"))
    return tmp_path / "witness"


class Context:
    def __init__(self, execution_id: str) -> None:
        self.execution_id, self.idempotency_key = execution_id, execution_id[:-2]


def test_a_witness_tells_of_two_starts_and_of_attempts_side_by_side(told: Path) -> None:
    with witness.attested(Context("run-0-0-1")) as said:
        said(3)
        code = (
            "import sys; sys.path.insert(0, '.'); from proof import witness\n"
            "class Context: execution_id, idempotency_key = 'run-0-0-2', 'run-0-0'\n"
            "with witness.attested(Context()): pass"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    with witness.attested(Context("run-0-0-1")):
        pass
    seen = witness.read(told)
    assert seen.starts == Counter({"run-0-0-1": 2, "run-0-0-2": 1})
    assert seen.overlaps == ["run-0-0-2"] and seen.said == {"run-0-0-1": 3} and seen.ended == {"run-0-0-1", "run-0-0-2"}
    assert any("overlapped" in problem for problem in Checks(seen).done())
    assert any("no run knows" in problem for problem in Checks(seen).done())


def test_a_part_that_was_run_again_takes_its_own_place_in_the_report(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    for name, passed in (("torture", False), ("stores", True), ("torture", True)):
        battery._record(path, {"name": name, "passed": passed, "seconds": 1.0, "tail": [], "figures": {}, "on": "here"})
    assert [(part["name"], part["passed"]) for part in json.loads(path.read_text())["parts"]] == [
        ("torture", True),
        ("stores", True),
    ]
    assert "FAILED" not in json.loads(path.read_text())["text"]

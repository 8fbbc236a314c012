"""Wiring is checked by the editor: what mypy --strict and pyright in strict mode say of right and of wrong workflows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"
FILES = ("right_wiring.py", "mistakes.py")
Reports = dict[str, dict[int, list[str]]]  # file -> line -> messages

EXPECTED = {
    number: line.partition("# MISTAKE: ")[2]
    for number, line in enumerate((SAMPLES / "mistakes.py").read_text().splitlines(), start=1)
    if "# MISTAKE: " in line
}


def mypy(cache: Path) -> Reports:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", *FILES]
    done = subprocess.run(command, cwd=SAMPLES, capture_output=True, text=True, timeout=300, check=False)
    assert not done.stderr, done.stderr
    reports: Reports = defaultdict(lambda: defaultdict(list))
    for line in done.stdout.splitlines():
        found = re.fullmatch(r"([^:]+):(\d+): (\w+): (.*)", line)
        assert found, line
        if found[3] == "error":
            reports[found[1]][int(found[2])].append(found[4])
    return reports


def pyright(project: Path) -> Reports:
    """``strict`` of basedpyright is pyright's own: the rules it adds are off there."""
    config = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "include": [str(SAMPLES)], "extraPaths": [str(SAMPLES)]}
    (project / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(project), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(FILES)
    reports: Reports = defaultdict(lambda: defaultdict(list))
    for each in found["generalDiagnostics"]:
        if each["severity"] in ("error", "warning"):
            reports[Path(each["file"]).name][each["range"]["start"]["line"] + 1].append(each["message"])
    return reports


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reports]:
    """Each checker runs once: they take seconds."""
    return {"mypy": mypy(tmp_path_factory.mktemp("mypy")), "pyright": pyright(tmp_path_factory.mktemp("pyright"))}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_right_wiring_is_free_of_reports(reports: dict[str, Reports], checker: str) -> None:
    assert reports[checker]["right_wiring.py"] == {}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize(("line", "mistake"), EXPECTED.items(), ids=EXPECTED.values())
def test_a_mistake_is_reported_on_its_line(reports: dict[str, Reports], checker: str, line: int, mistake: str) -> None:
    assert reports[checker]["mistakes.py"].get(line), f"{checker} says nothing of {mistake}"


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_nothing_but_the_mistakes_is_reported(reports: dict[str, Reports], checker: str) -> None:
    others = {line: said for line, said in reports[checker]["mistakes.py"].items() if line not in EXPECTED}
    assert others == {}


def test_the_right_wiring_builds() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import right_wiring; print([node.name for node in right_wiring.wf.definition().nodes][-1])"],
        cwd=SAMPLES, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("dynamic\n", "")

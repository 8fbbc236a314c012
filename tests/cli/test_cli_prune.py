"""``klassd prune``: what is old goes with all that hangs on it, and what goes is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

JOBS = """
from klassd.workflows import App, Artifact, Job, JobContext

class Writes(Job):
    def run(self, ctx: JobContext) -> Artifact[str]:
        print("written")
        return ctx.artifacts.save("note.txt", "hello")

app = App(jobs=[Writes])
"""


@pytest.fixture
def jobs(klassd: Any) -> Any:
    klassd.write("jobs.py", JOBS)
    for _ in range(2):
        klassd("run", "jobs:app", "Writes")
    klassd("enqueue", "jobs:app", "Writes")
    return klassd


def notes(klassd: Any) -> list[Path]:
    return list((klassd.directory / ".klassd" / "artifacts").rglob("note.txt"))


def test_old_runs_go_with_their_artifacts_and_others_stay(jobs: Any) -> None:
    assert jobs("prune").stdout == "nothing to remove: no run that finished more than 90 d ago\n"
    assert jobs("prune", "--older-than", "1h").stdout == "nothing to remove: no run that finished more than 1 h 00 min ago\n"
    assert len(notes(jobs)) == 2
    assert jobs("prune", "--older-than", "0").stdout == "removed 2 finished runs\n"
    assert notes(jobs) == []
    assert [run["status"] for run in jobs.json("runs")["runs"]] == ["queued"]
    assert jobs("prune", "--older-than", "0").stdout == "nothing to remove: no finished run\n"


def test_a_dry_run_shows_what_would_go_and_removes_nothing(jobs: Any) -> None:
    *rows, blank, last = jobs("prune", "--older-than", "0", "--dry-run").stdout.splitlines()
    assert rows[0].split() == ["RUN", "STATUS", "NAME", "FINISHED"] and len(rows) == 3 and not blank
    assert last == "would remove 2 finished runs, with consoles and artifacts"
    found = jobs.json("prune", "--older-than", "0", "--dry-run")
    assert [run["status"] for run in found["runs"]] == ["succeeded"] * 2 and found["more"] is False
    assert len(notes(jobs)) == 2 and len(jobs.json("runs")["runs"]) == 3
    assert jobs("prune", "--dry-run").stdout == "nothing to remove: no run that finished more than 90 d ago\n"


def test_artifacts_may_be_kept(jobs: Any) -> None:
    assert jobs.json("prune", "--older-than", "0", "--keep-artifacts") == {"removed": 2}
    assert len(notes(jobs)) == 2


def test_runs_whose_artifacts_cannot_be_removed_stay(jobs: Any) -> None:
    (jobs.directory / "taken").write_text("a file where the store should be")
    done = jobs("prune", "--older-than", "0", "--artifacts", "taken", code=1)
    assert "0 removed, the others stay: artifact" in done.stderr and "--keep-artifacts" in done.stderr
    assert len(jobs.json("runs")["runs"]) == 3


def test_an_age_that_is_none_and_one_that_nobody_says_are_refused(jobs: Any) -> None:
    assert "--older-than is 'old': expected text such as '30s'" in jobs("prune", "--older-than", "old", code=2).stderr
    jobs.write("klassd.toml", 'retention = "forever"\n')
    done = jobs("prune", code=2)
    assert "retention is 'forever', so no run is old" in done.stderr and "--older-than 30d" in done.stderr

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import report

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_runs_and_verifies_what_it_measured(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "--no-peers",
        "--only",
        "throughput",
        "console",
        "--json",
        str(told),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "share of bare fork" in done.stdout
    assert json.loads(told.read_text())["figures"]["jobs_per_s"] > 0


def test_a_goal_that_is_missed_is_told() -> None:
    assert "NO" in report.table({"start_p50_ms": 8.1})
    assert "yes" in report.table({"start_p50_ms": 7.9})


def test_figures_that_were_not_measured_are_left_out() -> None:
    assert report.table({"commit_ms": 1.0}).splitlines() == [
        "The machine",
        f"  {'durable commit in SQLite':<40}{'1.00 ms':>14}",
    ]


def test_a_peer_that_could_not_be_measured_says_why() -> None:
    ours = {"jobs_per_s": 500.0, "cpu_ms_per_job": 2.0, "start_p50_ms": 5.0}
    peer = {"jobs_per_s": 50.0, "cpu_ms_per_job": 20.0, "start_p50_ms": None, "fresh": True, "kept": "Redis"}
    table = report.peers_table(ours, {"slow": peer, "gone": {"error": "no such package"}})
    assert "10.0 x" in table
    assert "gone" in table and "not measured: no such package" in table


def test_an_artifact_goes_to_a_server_and_back_and_is_compared(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.artifacts", "--gigabytes", "0.03", "--dir", str(tmp_path), "--json", str(told)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(told.read_text())["figures"]
    assert figures["gigabytes"] > 0.02 and 20 < figures["save_mib"] < 64
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]

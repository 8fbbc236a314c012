"""``klassd serve`` as a process: its log, its probes, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Any

HELD = """
import pathlib, time
from klassd.workflows import App, Job, JobContext

class Waits(Job):
    def run(self, ctx: JobContext) -> str:
        pathlib.Path("begun").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.005)
        return "done"

app = App(jobs=[Waits])
"""


def serve(klassd: Any, *words: str) -> tuple[subprocess.Popen[str], str]:
    """The process, and where it listens."""
    process = klassd.start("serve", "held:app", "--port", "0", *words)
    for line in process.stdout:
        if "probes and API on " in line:
            return process, line.partition("probes and API on ")[2].strip().rstrip('"}').partition('"')[0]
    raise AssertionError(process.stderr.read())


def test_one_ends_and_lets_the_next_go_on_at_once_with_the_job_that_runs(klassd: Any, wait_until: Callable[..., Any]) -> None:
    klassd.write("held.py", HELD)
    klassd.env["KLASSD_LEASE"] = "600"  # whoever waited for it to run out would be here tomorrow
    first, url = serve(klassd)
    assert urllib.request.urlopen(f"{url}/healthz", timeout=30).status == 200
    assert urllib.request.urlopen(f"{url}/readyz", timeout=30).status == 200
    run = klassd("enqueue", "held:app", "Waits").stdout.strip()
    wait_until((klassd.directory / "begun").exists, "the job runs")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0
    log = first.stdout.read()
    assert f"run {run} of held:Waits begins" in log
    assert "letting go of 1 runs for others to take over; jobs under way go on" in log

    second, _ = serve(klassd, "--json")
    (klassd.directory / "go").touch()
    record = next(record for record in map(json.loads, second.stdout) if record.get("status") == "succeeded")
    assert (record["level"], record["run"]) == ("info", run)
    shown = klassd.json("show", run)
    assert (shown["output"], len(shown["nodes"]["held:Waits"]["executions"])) == ("done", 1)
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=30) == 0


def test_a_second_signal_does_not_wait(klassd: Any) -> None:
    klassd.write("held.py", HELD)
    process, _ = serve(klassd)
    with closing(sqlite3.connect(klassd.directory / ".klassd" / "klassd.db", isolation_level=None)) as other:
        other.execute("begin immediate")  # so that it cannot give up its lease
        process.send_signal(signal.SIGTERM)
        assert any("letting go" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 130
        other.execute("rollback")


def test_a_port_that_is_taken_ends_it_with_a_sentence(klassd: Any) -> None:
    klassd.write("held.py", HELD)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"cannot listen on 127.0.0.1 port {port}" in klassd("serve", "held:app", "--port", port, code=2).stderr
    assert "'70000' is not a number from 0 to 65535" in klassd("serve", "--port", "70000", code=2).stderr

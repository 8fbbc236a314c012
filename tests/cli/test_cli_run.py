"""``klassd run`` end to end: real processes, real store."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOBS = """
import os, pathlib, signal, sys, time
from klassd.workflows import App, Job, JobContext

class Fails(Job):
    def run(self, ctx: JobContext) -> None:
        print("before")
        raise ValueError("the number is odd")

class Sleeps(Job, grace=30):
    stubborn: bool = False

    def run(self, ctx: JobContext) -> None:
        if self.stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path("pids").write_text(f"{os.getpid()} {os.getppid()}")
        while True:
            try:
                time.sleep(60)
            except BaseException:
                if not self.stubborn:
                    raise

class Speaks(Job):
    lines: int = 3

    def run(self, ctx: JobContext) -> int:
        for number in range(self.lines):
            print(f"line {number}")
        return self.lines

class Nasty(Job):
    def run(self, ctx: JobContext) -> str:
        print("[bold]markup[/bold] \\x1b[31mred\\x1b[0m \\x1b[2Jcleared")
        ctx.log("careful", level="WARNING")
        return "[red]out[/red]"

app = App(jobs=[Fails, Sleeps, Speaks, Nasty])
"""
RUN_ID = re.compile(r"[0-9a-z]{20}")


def settled(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"\d+\.\d+ s|<?\d+ ms", "T s", RUN_ID.sub("ID", text))


def test_hello_in_a_pipe_is_plain_lines(klassd: Any) -> None:
    done = klassd("run", "examples.hello:app", "Hello", "name=team")
    lines = [f"[Hello] hello team {i}/5\n" for i in range(1, 6)]
    assert (
        settled(done.stdout)
        == "".join(lines) + '✓ succeeded Hello in T s\n  output  "greeted team"\n  more    klassd show ID\n'
    )
    assert done.stderr == ""


def test_with_json_standard_output_is_the_run_and_nothing_else(klassd: Any) -> None:
    done = klassd("run", "examples.hello:app", "Hello", "--json")
    run = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert (run["status"], run["output"], run["error"]) == ("succeeded", "greeted world", None)
    assert RUN_ID.fullmatch(run["id"])
    node = run["nodes"]["examples.hello:Hello"]
    assert (node["status"], node["output"], node["attempts"]) == ("succeeded", "greeted world", 1)
    assert "[Hello] hello world 5/5" in done.stderr


def test_inputs_come_from_standard_input_too(klassd: Any) -> None:
    done = klassd("run", "examples.hello:app", "Hello", "--input", "-", input='{"name": "pipe"}')
    assert "[Hello] hello pipe 1/5" in done.stdout


def test_a_failed_job_exits_1_and_names_the_cause(klassd: Any) -> None:
    klassd.write("jobs.py", JOBS)
    done = klassd("run", "jobs:app", "Fails", code=1)
    assert "[Fails] before\n" in done.stdout
    assert "ValueError: the number is odd" in done.stdout
    end = settled(done.stdout).splitlines()[-3:]
    assert end[0] == "✗ failed Fails in T s"
    assert end[1].startswith("  Fails  ")
    assert end[1].endswith("the number is odd")
    assert end[2] == "  more    klassd show ID"
    shown = klassd("show").stdout
    assert "the number is odd" in shown
    assert "raise ValueError" in klassd("show", "--node", "Fails").stdout


def test_text_of_a_job_is_neither_markup_nor_a_command_to_the_terminal(klassd: Any) -> None:
    klassd.write("jobs.py", JOBS)
    said = klassd("run", "jobs:app", "Nasty").stdout
    assert "[Nasty] [bold]markup[/bold] red \\x1b[2Jcleared\n" in said
    assert "[Nasty] warning careful\n" in said
    assert '"[red]out[/red]"' in said
    assert "\x1b" not in said
    assert "\x1b[31mred\x1b[0m \x1b[2Jcleared" in klassd("logs", "--raw").stdout


def test_ctrl_c_cancels_the_run_and_leaves_nothing_running(
    klassd: Any, wait_until: Callable[..., Any], is_alive: Callable[[int], bool]
) -> None:
    klassd.write("jobs.py", JOBS)
    process = klassd.start("run", "jobs:app", "Sleeps")
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "stopping the run; Ctrl+C again does not wait for it" in out
    assert "■ cancelled Sleeps" in out
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} are gone")
    assert klassd.json("show")["status"] == "cancelled"


def test_under_nohup_it_takes_no_notice_of_a_terminal_that_is_closed(klassd: Any, wait_until: Callable[..., Any]) -> None:
    klassd.write("jobs.py", JOBS)
    process = klassd.start("run", "jobs:app", "Sleeps", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    process.send_signal(signal.SIGHUP)
    os.kill(pids[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "✗ failed Sleeps" in out and "stopping" not in out


def test_a_second_ctrl_c_stops_waiting_and_says_how_to_go_on(klassd: Any, wait_until: Callable[..., Any]) -> None:
    klassd.write("jobs.py", JOBS)
    process = klassd.start("run", "jobs:app", "Sleeps", "stubborn=true")
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    try:
        process.send_signal(signal.SIGINT)
        assert "stopping the run" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        os.kill(pids[0], signal.SIGKILL)
    assert process.returncode == 130
    assert err.startswith("not waiting any longer; what still runs is being stopped")
    assert "klassd show" in err


def test_a_run_goes_on_when_nobody_reads_its_console_any_more(klassd: Any) -> None:
    klassd.write("jobs.py", JOBS)
    reader, writer = os.pipe()
    process = klassd.start("run", "jobs:app", "Speaks", "lines=100", stdout=writer)
    os.close(writer)
    os.close(reader)
    assert process.wait(timeout=30) == 0
    assert klassd.json("show")["output"] == 100


def test_colours_are_kept_out_of_a_pipe_and_can_be_forced(klassd: Any) -> None:
    assert "\x1b" not in klassd("run", "examples.hello:app", "Hello").stdout
    klassd.env["FORCE_COLOR"] = "1"
    assert "\x1b[36m" in klassd("show").stdout
    klassd.env["NO_COLOR"] = "1"
    assert "\x1b" not in klassd("show").stdout


def test_worker_is_passed_on(klassd: Any) -> None:
    done = subprocess.run(
        klassd.command("worker", "--no-such-thing"),
        cwd=klassd.directory,
        env=klassd.env,
        capture_output=True,
        check=False,
        text=True,
    )
    direct = [word.replace("klassd.workflows.cli", "klassd.workflows.worker") for word in klassd.command("--no-such-thing")]
    same = subprocess.run(direct, cwd=klassd.directory, env=klassd.env, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (same.returncode, same.stdout, same.stderr)


def _pids(directory: Path) -> list[int]:
    try:
        return [int(word) for word in (directory / "pids").read_text().split()]
    except OSError:
        return []

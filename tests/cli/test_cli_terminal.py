"""The live view on a real pseudo-terminal: what is drawn while it runs, and what is left when it has ended."""

from __future__ import annotations

import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

ROWS, COLUMNS = 30, 100
SLOW = """
import os, pathlib, time
from klassd.workflows import App, Job, JobContext, Workflow

class Slow(Job):
    number: int

    def run(self, ctx: JobContext) -> int:
        print(f"begun {self.number}")
        for i in ctx.track(range(4), name="rows"):
            pathlib.Path(f"step-{self.number}-{i}").touch()
            while not pathlib.Path("go").exists():
                time.sleep(0.005)
        return self.number

class Sleeps(Job):
    def run(self, ctx: JobContext) -> None:
        pathlib.Path("pids").write_text(f"{os.getpid()} {os.getppid()}")
        time.sleep(60)

wf = Workflow("slow")
wf.map("step", lambda number: Slow(number=number), over=[1, 2])
app = App(jobs=[wf, Sleeps])
"""
NOBODY = "no scheduler looks after it now; start one: klassd dev"
_PART = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|(\x1b.)", re.DOTALL)


class Screen:
    """As much of a terminal as the live view uses. What it does not know fails the test."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.cursor = True

    def feed(self, text: str) -> None:
        for numbers, final, move, plain, other in _PART.findall(text):
            assert not other, f"unknown sequence {other!r}"
            if plain:
                self._write(plain)
            elif move == "\r":
                self.column = 0
            elif move == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            else:
                self._control(numbers, final)

    def _write(self, text: str) -> None:
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)

    def _control(self, numbers: str, final: str) -> None:
        if final == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif final == "K":
            assert numbers == "2"
            self.lines[self.row] = ""
        elif numbers == "?25":
            self.cursor = final == "h"
        else:
            assert final == "m", f"unknown sequence {numbers}{final}"

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


class Terminal:
    def __init__(self, klassd: Any, *words: str) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        options = {"stdin": slave, "stdout": slave, "stderr": slave, "preexec_fn": _own_terminal}
        self.process: subprocess.Popen[str] = klassd.start(*words, **options)
        os.close(slave)
        self.said = ""
        self.screen = Screen()

    def read_until(self, condition: Callable[[str], object]) -> None:
        while not condition(self.said):
            assert self._read(), f"it ended before that was shown:\n{self.said}"

    def finish(self) -> int:
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait()

    def hang_up(self) -> None:
        os.close(self._master)

    def close(self) -> int:
        self.hang_up()
        return self.process.wait(30)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def _read(self) -> bool:
        try:
            text = os.read(self._master, 65536)
        except OSError:  # EIO: everybody on the other side is gone
            return False
        self.said += text.decode()
        return bool(text)

    def final_screen(self) -> Screen:
        screen = Screen()
        screen.feed(self.said)
        return screen


def _own_terminal() -> None:
    ioctl(0, termios.TIOCSCTTY, 0)


def test_bars_are_drawn_in_place_and_the_terminal_is_left_clean(klassd: Any) -> None:
    klassd.write("slow.py", SLOW)
    terminal = Terminal(klassd, "run", "slow:app", "slow")
    terminal.read_until(lambda said: "step#1" in said and "0/2 items, 2 running" in said and "rows" in said)
    assert "━━━" in terminal.said
    assert "\x1b[?25l" in terminal.said
    (klassd.directory / "go").touch()
    assert terminal.finish() == 0
    screen = terminal.final_screen()
    shown = re.sub(r"\d+\.\d+ s|<?\d+ ms", "T s", re.sub(r"[0-9a-z]{20}", "ID", screen.text)).splitlines()
    assert sorted(shown[:2]) == ["step#0  │ begun 1", "step#1  │ begun 2"]
    assert shown[2:] == ["step    │ ✓ 2 items succeeded in T s", "✓ succeeded slow in T s", "  more    klassd show ID"]
    assert screen.cursor


def test_ctrl_c_in_the_terminal_cancels_and_leaves_it_clean(
    klassd: Any, wait_until: Callable[..., Any], is_alive: Callable[[int], bool]
) -> None:
    klassd.write("slow.py", SLOW)
    terminal = Terminal(klassd, "run", "slow:app", "Sleeps")
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    terminal.type(b"\x03")
    assert terminal.finish() == 130
    screen = terminal.final_screen()
    assert "stopping the run; Ctrl+C again does not wait for it" in screen.text
    assert "■ cancelled Sleeps" in screen.text
    assert "━" not in screen.text
    assert screen.cursor
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} are gone")


def test_a_terminal_that_is_closed_cancels_the_run_as_ctrl_c_does(
    klassd: Any, wait_until: Callable[..., Any], is_alive: Callable[[int], bool]
) -> None:
    klassd.write("slow.py", SLOW)
    terminal = Terminal(klassd, "run", "slow:app", "Sleeps")
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    assert terminal.close() == 130
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} are gone")
    assert klassd.json("show")["status"] == "cancelled"


def test_a_terminal_that_is_closed_ends_dev_and_leaves_its_jobs_to_the_next_scheduler(
    klassd: Any, wait_until: Callable[..., Any], is_alive: Callable[[int], bool]
) -> None:
    klassd.write("slow.py", SLOW)
    terminal = Terminal(klassd, "dev", "slow:app")
    terminal.read_until(lambda said: "nothing enqueued yet" in said)
    klassd("enqueue", "slow:app", "Sleeps")
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    assert terminal.close() == 0
    assert all(map(is_alive, pids))
    os.kill(pids[0], signal.SIGKILL)


def test_no_color_keeps_the_bars_and_drops_the_colours(klassd: Any) -> None:
    klassd.env["NO_COLOR"] = "1"
    terminal = Terminal(klassd, "run", "examples.hello:app", "Hello")
    assert terminal.finish() == 0
    assert not re.search(r"\x1b\[[\d;]*3\dm", terminal.said)
    assert "✓ succeeded Hello" in terminal.final_screen().text


def test_a_dumb_terminal_gets_plain_lines(klassd: Any) -> None:
    klassd.env["TERM"] = "dumb"
    terminal = Terminal(klassd, "run", "examples.hello:app", "Hello")
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.said
    assert "[Hello] hello world 5/5\r\n" in terminal.said


def test_dev_shows_what_runs_and_what_ended(klassd: Any) -> None:
    klassd.write("slow.py", SLOW)
    terminal = Terminal(klassd, "dev", "slow:app")
    terminal.read_until(lambda said: "nothing enqueued yet" in said)
    run_id = klassd("enqueue", "slow:app", "slow").stdout.strip()
    terminal.read_until(lambda said: "0/2 items, 2 running" in said and "running 1" in said)
    (klassd.directory / "go").touch()
    terminal.read_until(lambda said: "✓ succeeded" in said and "succeeded 1" in said)
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.finish() == 0
    screen = terminal.final_screen()
    assert screen.cursor
    assert "━" not in screen.text
    assert screen.text.splitlines()[-1].endswith(run_id)


def test_that_a_scheduler_was_killed_is_told_of_its_runs(
    klassd: Any, wait_until: Callable[..., Any], is_alive: Callable[[int], bool]
) -> None:
    klassd.write("slow.py", SLOW)
    klassd.env["KLASSD_LEASE"] = "1s"
    dev = klassd.start("dev", "slow:app")
    run_id = klassd("enqueue", "slow:app", "Sleeps").stdout.strip()
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    wait_until(lambda: "waits    running slow:Sleeps\n" in klassd("show", run_id).stdout, "that somebody looks after it")
    wait_until(lambda: klassd.json("show", run_id)["looked_after"] is True, "the same for machines")
    dev.kill()
    dev.communicate()
    wait_until(lambda: f"waits    {NOBODY}\n" in klassd("show", run_id).stdout, "the lease to run out")
    assert klassd.json("show", run_id)["looked_after"] is False
    os.kill(pids[0], signal.SIGKILL)


@pytest.mark.fault("A14")
def test_ctrl_c_ends_dev_and_leaves_its_jobs_to_the_next_scheduler(
    klassd: Any, wait_until: Callable[..., Any], is_alive: Callable[[int], bool]
) -> None:
    klassd.write("slow.py", SLOW)
    terminal = Terminal(klassd, "dev", "slow:app")
    terminal.read_until(lambda said: "nothing enqueued yet" in said)
    run_id = klassd("enqueue", "slow:app", "Sleeps").stdout.strip()
    pids = wait_until(lambda: _pids(klassd.directory), "the job runs")
    terminal.type(b"\x03")
    assert terminal.finish() == 0
    assert is_alive(pids[0])
    assert f"  waits    {NOBODY}\n" in klassd("show", run_id).stdout
    told = f"{run_id} was told to stop; klassd logs -f {run_id}\n"
    assert klassd("stop", run_id).stdout == f"{told}  {NOBODY}\n"
    again = Terminal(klassd, "dev", "slow:app")
    again.read_until(lambda said: "■ cancelled" in said)
    wait_until(lambda: not is_alive(pids[0]), "the job is gone")
    again.type(b"\x03")
    assert again.finish() == 0


def _pids(directory: Path) -> list[int]:
    try:
        return [int(word) for word in (directory / "pids").read_text().split()]
    except OSError:
        return []

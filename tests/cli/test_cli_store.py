"""Commands that look into the store and act on runs, and ``klassd dev``; end to end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

FLOW = """
from klassd.workflows import App, Job, JobContext, Workflow

class Numbers(Job):
    def run(self, ctx: JobContext) -> list[int]:
        ctx.log("three of them")
        return [1, 2, 3]

class Square(Job):
    number: int

    def run(self, ctx: JobContext) -> int:
        print(f"squaring {self.number}")
        return self.number ** 2

class Never(Job):
    def run(self, ctx: JobContext) -> None: ...

wf = Workflow("squares")
numbers = wf.add("numbers", Numbers())
squares = wf.map("square", lambda number: Square(number=number), over=numbers.output)
wf.add("never", Never(), when=numbers.failed)
wf.returns(squares.output)
app = App(jobs=[wf, Square])
"""

HELD = """
import pathlib, time
from klassd.workflows import App, Job, JobContext, Workflow

class Waits(Job):
    def run(self, ctx: JobContext) -> None:
        pathlib.Path("begun").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.005)

wf = Workflow("held")
first = wf.add("first", Waits())
wf.add("second", Waits(), after=[first])
app = App(jobs=[wf])
"""


def test_enqueue_prints_the_id_and_runs_lists_it(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    first = klassd("enqueue", "flow:app", "Square", "number=3", "--tag", "a", "--tag", "b", "--key", "once").stdout.strip()
    again = klassd.json("enqueue", "flow:app", "Square", "number=3", "--key", "once")
    later = klassd("enqueue", "flow:app", "squares", "--delay", "1h").stdout.strip()
    assert again == {"id": first}
    page = klassd.json("runs", "--limit", "1")
    assert [run["id"] for run in page["runs"]] == [later]
    rest = klassd.json("runs", "--after", page["next"])
    assert [(run["id"], run["status"], run["tags"]) for run in rest["runs"]] == [(first, "queued", ["a", "b"])]
    assert rest["next"] is None
    assert [run["id"] for run in klassd.json("runs", "--tag", "b", "--status", "queued", "--name", "flow:Square")["runs"]] == [
        first
    ]
    text = klassd("runs").stdout.splitlines()
    assert text[0].split() == ["RUN", "STATUS", "NAME", "CREATED", "TOOK", "TAGS"]
    assert text[1].startswith(f"{later}  ○ queued  squares ")
    assert "due in 59 min" in text[1]
    assert text[2].endswith("a, b")
    assert klassd("runs", "--status", "failed").stdout == "no run fits\n"


def test_a_run_is_meant_by_last_or_by_a_unique_end_of_its_id(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    run_id = klassd("enqueue", "flow:app", "Square", "number=3").stdout.strip()
    for word in ("last", run_id, run_id[-6:], run_id[:15]):
        assert klassd.json("show", word)["id"] == run_id
    assert "no scheduler has taken it yet; start one: klassd dev" in klassd("show").stdout
    unknown = "klassd: no run named 'zzzz'.\n  klassd runs lists them, the newest first\n"
    assert klassd("show", "zzzz", code=2).stderr == unknown


def test_show_says_what_a_run_waits_for(klassd: Any, wait_until: Callable[..., Any]) -> None:
    klassd.write("held.py", HELD)
    process = klassd.start("run", "held:app", "held", "--json")
    wait_until((klassd.directory / "begun").exists, "the first node runs")
    shown = klassd("show").stdout
    assert "  waits    running first\n" in shown
    assert "○ second  pending: waiting for first\n" in shown
    (klassd.directory / "go").touch()
    assert process.wait(timeout=30) == 0
    assert "wait" not in klassd("show").stdout


def test_stop_cancels_a_queued_run_and_says_when_it_had_ended(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    run_id = klassd("enqueue", "flow:app", "Square", "number=3").stdout.strip()
    assert klassd("stop", "last").stdout == f"{run_id} is cancelled\n"
    assert klassd("stop", "last").stdout == f"{run_id} had ended already: cancelled\n"
    assert klassd.json("stop", run_id) == {"id": run_id, "stopped": False, "status": "cancelled"}


def test_show_logs_and_rerun_of_a_workflow(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    klassd("run", "flow:app", "squares")
    shown = klassd("show").stdout
    assert "  output   [1, 4, 9]\n" in shown
    assert "    #2 ✓ succeeded" in shown
    assert "never    omitted: numbers.failed was false" in shown
    run = klassd.json("show")
    assert run["nodes"]["square"]["output"] == [1, 4, 9]
    assert [item["item"] for item in run["nodes"]["square"]["items"]] == [1, 2, 3]

    logs = klassd("logs").stdout.splitlines()
    assert logs[0] == "[numbers] three of them"
    assert sorted(logs[1:]) == [f"[square#{i}] squaring {i + 1}" for i in range(3)]
    assert klassd("logs", "--node", "square#1").stdout == "[square#1] squaring 2\n"
    execution = run["nodes"]["square"]["executions"][2]["id"]
    assert klassd("logs", execution).stdout == "squaring 3\n"
    line = klassd.json("logs", execution)
    assert (line["node"], line["index"], line["line"], line["stream"], line["text"]) == ("square", 2, 1, "stdout", "squaring 3")
    assert "did you mean square?" in klassd("logs", "--node", "sqare", code=2).stderr

    new = klassd("rerun", run["id"]).stdout.strip()
    again = klassd.json("show", new)
    assert (again["rerun_of"], again["status"]) == (run["id"], "queued")


def test_logs_start_at_a_line_or_show_the_last_ones(klassd: Any) -> None:
    klassd("run", "examples.hello:app", "Hello")
    assert klassd("logs", "--from", "4").stdout == "hello world 4/5\nhello world 5/5\n"
    assert klassd("logs", "--tail", "2").stdout == "hello world 4/5\nhello world 5/5\n"
    assert klassd("logs", "-t", "--tail", "1").stdout.split()[0] == "5"


def test_dev_runs_what_is_enqueued_and_tells_starts_and_ends(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    dev = klassd.start("dev", "flow:app")
    assert [dev.stdout.readline().split()[0] for _ in range(5)] == ["klassd", "app", "runs", "store", "ends"]
    run_id = klassd("enqueue", "flow:app", "squares").stdout.strip()
    said = ""
    while "✓ succeeded squares" not in said:
        said += dev.stdout.readline()
    assert run_id in said
    follow = klassd("rerun", run_id, "--follow", "--json")
    assert json.loads(follow.stdout)["output"] == [1, 4, 9]
    assert "[square#0] squaring 1" in follow.stderr
    dev.send_signal(signal.SIGINT)
    _, err = dev.communicate(timeout=30)
    assert (dev.returncode, err) == (0, "")


def test_dev_begins_anew_when_the_code_changes_and_survives_broken_code(klassd: Any, wait_until: Callable[..., Any]) -> None:
    module = klassd.write("flow.py", FLOW)
    dev = klassd.start("dev", "flow:app", "--json")
    assert [dev.stderr.readline().split()[0] for _ in range(5)] == ["klassd", "app", "runs", "store", "ends"]
    module.write_text("def broken(:\n")
    assert dev.stderr.readline().startswith("not reloaded yet: flow.py:1: ")
    module.write_text("import not_there_at_all\n")
    assert "flow cannot be imported: ModuleNotFoundError" in dev.stderr.readline()
    module.write_text(FLOW.replace("** 2", "** 3"))
    while "reloaded: flow.py" not in dev.stderr.readline():
        pass
    klassd("enqueue", "flow:app", "Square", "number=2")
    while (event := json.loads(dev.stdout.readline()))["event"] != "ended":
        pass
    assert event["run"]["output"] == 8
    dev.send_signal(signal.SIGINT)
    assert dev.wait(timeout=30) == 0


def test_migrate_makes_the_store_and_may_be_repeated(klassd: Any) -> None:
    said = klassd.json("migrate", "--store", "sqlite:///jobs.db")
    assert said == {"store": "sqlite:///jobs.db", "ready": True}
    assert (klassd.directory / "jobs.db").exists()
    klassd("migrate", "--store", "sqlite:///jobs.db")
    assert klassd("runs", "--store", "sqlite:///jobs.db").stdout == "no runs yet: klassd run MODULE:APP NAME\n"

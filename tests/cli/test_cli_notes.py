"""What is said beside the state of an execution: that nobody knows whether it runs, and what memory it was given."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from klassd.workflows.cli.lines import Labels
from klassd.workflows.cli.live import run_rows
from klassd.workflows.cli.show import Page
from klassd.workflows.cli.style import Paint
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.run import Execution, Run
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node

UNKNOWN = "whether it still runs is unknown: its node n1 has not answered since 2026-01-02 03:10:00 UTC"
NODE = Node("train", "jobs:Train", "jobs:Train")


def view(*executions: dict[str, Any]) -> RunView:
    rows = [
        Execution(id=f"run-0-0-{number}", run_id="run", node="train", attempt=number, started_at=1.0, **each)
        for number, each in enumerate(executions, 1)
    ]
    run = Run(id="run", name="flow", kind="workflow", definition="", status=RunStatus.RUNNING, started_at=1.0)
    node = NodeView(name="train", status=NodeStatus.RUNNING, node=NODE, row=None, executions=rows)
    return RunView(run=run, definition=Definition("flow", (NODE,)), nodes=[node])


def page(shown: RunView) -> str:
    return "\n".join(Page(shown, True, {}, Paint(False), 100.0, Namespace(node=None, events=False)).lines())


def test_an_execution_that_nobody_can_see_is_shown_as_unknown() -> None:
    assert UNKNOWN in page(view({"status": ExecutionStatus.RUNNING, "waiting": UNKNOWN}))


def test_the_live_view_says_so_too_beside_its_bars() -> None:
    bars = {"": {"at": 40, "of": 100}}
    shown = view({"status": ExecutionStatus.RUNNING, "waiting": UNKNOWN, "progress": bars})
    rows = run_rows(shown, Labels(shown.definition, Paint(False)), 100.0, 10)
    assert [row[3] for row in rows] == [UNKNOWN, " 40%"]


def test_an_attempt_says_what_memory_it_was_given_after_one_that_was_killed_for_it() -> None:
    killed = {
        "status": ExecutionStatus.FAILED,
        "cause": Cause.OOM,
        "error": "killed",
        "memory": "64Mi/128Mi",
        "finished_at": 2.0,
    }
    shown = page(view(killed, {"status": ExecutionStatus.RUNNING, "memory": "128Mi/256Mi"}))
    first, second = [line for line in shown.splitlines() if "attempt 1" in line or "attempt 2" in line]
    assert "memory" not in first and second.endswith("memory 256Mi")

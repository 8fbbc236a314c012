"""Kill -9 of schedulers at any moment: nothing is lost, nothing is started twice, no console has a hole."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from conftest import Project

ITEMS = 200

FLOW = f"""
import os
from klassd.workflows import App, Job, JobContext, Workflow

WITNESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "witness")

def witness(line: str) -> None:
    fd = os.open(WITNESS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (line + "\\n").encode())
    os.close(fd)

class Find(Job):
    def run(self, ctx: JobContext) -> list[int]:
        witness("find")
        return list(range({ITEMS}))

class Item(Job):
    number: int
    def run(self, ctx: JobContext) -> int:
        witness(f"item {{self.number}} {{ctx.attempt}}")
        for line in range(20):
            print(f"{{self.number}}:{{line}}")
        ctx.log("done")
        return self.number * 2

class Total(Job):
    numbers: list[int]
    def run(self, ctx: JobContext) -> int:
        witness("total")
        return sum(self.numbers)

flow = Workflow("flow")
found = flow.add("find", Find())
items = flow.map("item", lambda number: Item(number=number), over=found.output)
total = flow.add("total", Total(numbers=items.output))
flow.returns(total.output)
app = App(jobs=[flow])
"""


@pytest.mark.fault("A6", "D3")
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_scheduler_costs_nothing_but_time(project: Project, seed: int) -> None:
    project.write("flow.py", FLOW)
    witness = project.path / "witness"
    run_id = project.enqueue("flow:app", "flow")
    moments = sorted(random.Random(seed).sample(range(ITEMS), 4))
    for moment in moments:
        scheduler = project.start("flow:app", KLASSD_LEASE="1")
        project.until(lambda: len(project.lines(witness)) >= moment, f"{moment} starts")  # noqa: B023
        project.kill(scheduler)
    project.start("flow:app", KLASSD_LEASE="1")

    view = project.finished(run_id)

    assert view.run.status == "succeeded" and view.run.output == sum(2 * number for number in range(ITEMS)), view.run.error
    starts = Counter(project.lines(witness))
    assert set(starts.values()) == {1} and len(starts) == ITEMS + 2
    items = next(node for node in view.nodes if node.name == "item")
    assert [execution.attempt for execution in items.executions] == [1] * ITEMS

    async def consoles(client: object) -> list[list[str]]:
        return [[line.text for line in await client.log(execution.id)] for execution in items.latest]  # type: ignore[attr-defined]

    for number, console in enumerate(project.ask(consoles)):
        assert console == [*(f"{number}:{line}" for line in range(20)), "done"]


@pytest.mark.fault("B1")
def test_two_schedulers_share_the_work_and_start_nothing_twice(project: Project) -> None:
    project.write("flow.py", FLOW)
    project.start("flow:app")
    project.start("flow:app")
    runs = [project.enqueue("flow:app", "flow") for _ in range(2)]
    views = [project.finished(run) for run in runs]
    assert [view.run.status for view in views] == ["succeeded", "succeeded"]
    assert set(Counter(project.lines(project.path / "witness")).values()) == {2}

"""``klassd show``: what an execution spent its time with, and what its cluster says of it."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows.cli.style import Paint
from klassd.workflows.cli.timeline import Timeline
from klassd.workflows.composition import make_client
from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import Change, Execution, Run, execution_id
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.stores.sqlite import SqliteStore
from klassd.workflows.testing.executor_jobs import Echo

NOW = time.time()

FLOW = """
from klassd.workflows import App, Job, JobContext, Workflow

class Square(Job):
    number: int
    def run(self, ctx: JobContext) -> int:
        print(f"{self.number} squared")
        return self.number**2

flow = Workflow("squares")
flow.map("square", lambda number: Square(number=number), over=[2, 3])
app = App(jobs=[Square, flow])
"""


def steps(text: str) -> list[str]:
    return re.findall(r"^ {4,}(\w+|first line) +\d\d:\d\d:\d\d\.\d{3} ", text, re.M)


@pytest.mark.parametrize(
    ("start", "between"),
    [("fork", ["start", "run", "first line"]), ("spawn", ["start", "boot", "import", "run", "first line"])],
)
def test_a_job_is_shown_with_what_took_its_time(klassd: Any, start: str, between: list[str]) -> None:
    klassd.write("flow.py", FLOW)
    klassd.env |= {"KLASSD_START": start, "COLUMNS": "80"}
    klassd("run", "flow:app", "Square", "number=3")
    shown = klassd("show").stdout
    assert steps(shown) == ["queue", *between, "outputs"]
    assert re.search(r"^ +pid +\d+$", shown, re.M)
    assert all(len(line) <= 80 for line in shown.splitlines())

    (execution,) = klassd.json("show")["nodes"]["flow:Square"]["executions"]
    named = [step["step"] for step in execution["timeline"]]
    assert named == ["queue", *(each for each in between if each != "first line"), "outputs"]
    assert all(step["seconds"] >= 0 and step["begin"] <= step["end"] for step in execution["timeline"])
    assert execution["timeline"][-1]["end"] == execution["finished_at"]
    assert execution["phases"]["first_line"] <= execution["phases"]["returned"] <= execution["finished_at"]
    assert list(execution["located"]) == ["pid"] and execution["place"].startswith("local:")


def test_a_step_that_takes_long_stays_apart_from_the_time_it_began_at() -> None:
    begun = NOW - 59 * 60
    execution = Execution(
        id="r-0-0-1", run_id="r", node="n", status=ExecutionStatus.RUNNING, created_at=begun, launched_at=begun,
        started_at=begun, phases=Phases(first_line=begun + 59 * 60),
    )  # fmt: skip
    run = Run(id="r", name="n", kind="job", definition="", created_at=begun)
    lines = list(Timeline(run, execution, Paint(False), NOW, 80).lines())
    long = [line for line in lines if " min " in line]
    assert len(long) == 2 and all(re.search(r"\.\d{3} +59 min 00 s  ", line) for line in long), lines
    assert all(len(line) <= 80 for line in lines)


def test_an_item_is_shown_by_itself(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    klassd("run", "flow:app", "squares")
    assert steps(klassd("show").stdout) == []
    shown = klassd("show", "--node", "square#1").stdout
    assert steps(shown) == ["queue", "start", "run", "first line", "outputs"]
    assert "#1 ✓ succeeded" in shown and "#0" not in shown
    assert "square has no item 7" in klassd("show", "--node", "square#7", code=2).stderr


def test_a_failure_ends_instead_of_storing_outputs_and_the_machine_is_asked_on_demand(klassd: Any) -> None:
    klassd.write("flow.py", FLOW)
    klassd("run", "flow:app", "Square", "number=3", "--tag", "x")
    assert "it has ended" not in klassd("show").stdout
    assert "now        it has ended" in klassd("show", "--events").stdout
    (execution,) = klassd.json("show", "--events")["nodes"]["flow:Square"]["executions"]
    assert execution["outside"]["problem"] is None and execution["outside"]["state"] == "it has ended"


# -- a cluster that cannot be asked -----------------------------------------------------------------------------------

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: me, namespace: jobs}}]
"""


def in_a_pod(path: Path, **fields: Any) -> None:
    """A run whose one execution is in a pod of some cluster."""

    async def store_it() -> None:
        store = SqliteStore(path)
        async with make_client(store) as client:
            run_id = await client.enqueue(Echo(text="x"))
            await store.renew("me", 60.0)
            (loaded,) = await store.claim_runs("me", 1, NOW)
            execution = Execution(
                id=execution_id(run_id, 0, 0, 1), run_id=run_id, node=loaded.run.name, created_at=NOW - 9, launched_at=NOW - 8,
                place="kubernetes:jobs:klassd", located={"pod": "klassd-x-1"}, **fields,
            )  # fmt: skip
            await store.commit([Change(run_id=run_id, epoch=loaded.run.epoch, started=(execution,))])

    asyncio.run(store_it())


@pytest.fixture
def cluster(klassd: Any) -> Any:
    klassd.write("kubeconfig", KUBECONFIG)
    klassd.env |= {
        "KLASSD_STORE": f"sqlite:///{klassd.directory}/x.db",
        "KLASSD_EXECUTOR": "kubernetes",
        "KLASSD_KUBERNETES_KUBECONFIG": f"{klassd.directory}/kubeconfig",
    }
    return klassd


def test_a_waiting_pod_is_shown_with_its_reason_also_when_no_cluster_answers(cluster: Any) -> None:
    in_a_pod(cluster.directory / "x.db", status=ExecutionStatus.STARTING, waiting="0/3 nodes are available")
    shown = cluster("show").stdout
    assert "0/3 nodes are available" in shown
    assert re.search(r"pod +klassd-x-1$", shown, re.M) and steps(shown) == ["queue", "schedule"]
    assert re.search(r"events +not to be had: the Kubernetes API does not answer", shown)
    assert f"cluster    kubectl --kubeconfig {cluster.directory}/kubeconfig -n jobs describe pod/klassd-x-1" in shown


def test_whoever_is_set_up_for_another_place_is_told_so(cluster: Any) -> None:
    in_a_pod(cluster.directory / "x.db", status=ExecutionStatus.FAILED, cause=Cause.OOM, finished_at=NOW)
    shown = cluster("show").stdout
    assert "not to be had: the Kubernetes API" in shown
    cluster.env["KLASSD_NAMESPACE"] = "elsewhere"
    assert "it runs at kubernetes:jobs:klassd; this shell is set up for kubernetes:elsewhere:klassd" in " ".join(
        cluster("show").stdout.split()
    )
    del cluster.env["KLASSD_EXECUTOR"]
    assert "this shell is set up for local:" in " ".join(cluster("show").stdout.split())


def test_a_failure_of_the_job_s_own_asks_no_cluster(cluster: Any) -> None:
    in_a_pod(cluster.directory / "x.db", status=ExecutionStatus.FAILED, cause=Cause.EXCEPTION, finished_at=NOW)
    shown = cluster("show").stdout
    assert "not to be had" not in shown and "describe pod/klassd-x-1" in shown


def test_an_app_that_cannot_be_loaded_does_not_hide_what_is_stored(cluster: Any) -> None:
    in_a_pod(cluster.directory / "x.db", status=ExecutionStatus.STARTING, waiting="0/3 nodes are available")
    cluster.env |= {"KLASSD_APP": "no_such:app", "KLASSD_ARTIFACTS": "file:///tmp"}
    shown = cluster("show").stdout
    assert "0/3 nodes are available" in shown and "there is no module 'no_such'" in " ".join(shown.split())

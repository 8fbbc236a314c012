"""Schedulers killed again and again while a hundred pods run: no pod is lost, none starts twice, no line is missing."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable

import cluster_jobs
import pytest
from cluster_help import Cluster
from cluster_runs import Runs
from witness import witness

from klassd.workflows.client import Client, NodeView

PODS, KILLS = 100, 10


@pytest.mark.fault("A5", "E22")
def test_ten_killed_schedulers_cost_no_pod_and_no_line_of_a_hundred(runs: Runs, cluster: Cluster) -> None:
    dice = random.Random(1)
    with witness(cluster.here) as pods:
        run_id = runs.enqueue(cluster_jobs.witnessed(PODS, pods.url))
        for kill in range(1, KILLS + 1):
            scheduler = runs.start()
            runs.until(run_id, lambda _: len(pods.said) >= kill * 2 * PODS // (KILLS + 2))  # noqa: B023
            time.sleep(dice.uniform(0.0, 0.5))
            runs.kill(scheduler)
        runs.start()
        view = runs.finished(run_id)

    assert view.run.status == "succeeded", view.run.error
    assert view.run.output == PODS  # as many names of pods
    items = next(node for node in view.nodes if node.name == "item")
    assert len(items.executions) == PODS
    every_pod_ran_once(items, pods.said, cluster)
    every_console_is_whole(items, runs)
    for execution in items.executions:
        cluster.until(lambda: "ttlSecondsAfterFinished" in cluster.jobs(execution.id)[0]["spec"], "a time to live")  # noqa: B023


def every_pod_ran_once(items: NodeView, said: Iterable[str], cluster: Cluster) -> None:
    """As the store, the witness and the cluster have it."""
    assert {execution.attempt for execution in items.executions} == {1}
    made = [[pod["metadata"]["name"] for pod in cluster.pods(execution.id)] for execution in items.executions]
    assert Counter(line.rpartition(" ")[0] for line in said) == {
        f"{what} {number} 1 {name}": 1 for what in ("begun", "ended") for number, (name,) in enumerate(made)
    }


def every_console_is_whole(items: NodeView, runs: Runs) -> None:
    async def consoles(client: Client) -> list[list[str]]:
        return [[line.text for line in await client.log(execution.id)] for execution in items.latest]

    for number, console in enumerate(runs.ask(consoles)):
        assert console == [f"{number}: line {line}" for line in range(50)]

"""A pod that somebody removes by force: what a real node does then is a matter of moments, which no fake is trusted with."""

from __future__ import annotations

import pytest
from cluster_help import Cluster
from outcomes import alive, came_to, ours, sleeping

from klassd.workflows.model.states import Cause


@pytest.mark.fault("E14", "E21")
def test_a_pod_removed_by_force_is_lost_at_once_and_not_replaced(cluster: Cluster) -> None:
    wanted = ours("Sleeper")

    def remove() -> None:
        (pod,) = cluster.pods(wanted.execution_id)
        cluster.delete(f"/api/v1/namespaces/{{}}/pods/{pod['metadata']['name']}", gracePeriodSeconds=0)

    heard = sleeping(cluster, wanted, remove)
    found = came_to(heard)
    assert found.cause is Cause.LOST and found.retry and "nobody saw how it ended" in str(found.message)
    assert heard.started == 1
    cluster.until(lambda: not [pod for pod in cluster.pods(wanted.execution_id) if alive(pod)], "the end of all its pods")

"""Who a job is in its pod: only a real container has a user of its own."""

from __future__ import annotations

from cluster_help import Cluster
from outcomes import ours, told

from klassd.workflows import Pod
from klassd.workflows.pods import PodSecurity


def test_the_pod_runs_as_the_user_that_was_asked_for(cluster: Cluster) -> None:
    assert told(cluster, ours("WhoAmI", pod=Pod(pod_security=PodSecurity(run_as_user=1234, run_as_group=2345)))).outputs == {
        "": {"user": 1234, "group": 2345}
    }

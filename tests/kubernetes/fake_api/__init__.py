"""A light Kubernetes API server with controllers and a node, in this process: for tests of the executor on any machine.

    with FakeCluster() as fake:
        Cluster(fake.kubeconfig, "image")      # as on a real one

It is trusted for what the same tests see on a real cluster, and it can fail in ways that a real one does not on command.
"""

from fake_api.cluster import FakeCluster
from fake_api.faults import Faults, Rule
from fake_api.releases import NEW, OLD, RELEASES, Release

__all__ = ["NEW", "OLD", "RELEASES", "FakeCluster", "Faults", "Release", "Rule"]

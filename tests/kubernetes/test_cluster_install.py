"""A scheduler in the cluster itself, from ``klassd manifest`` to the last command of an uninstallation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_help import Cluster
from install_help import NAME, SELECTOR, Installation, Kubectl, api_for_pods, program, volume_for

SCHEDULER, EXECUTION = "app.kubernetes.io/component=scheduler", "app.kubernetes.io/managed-by=klassd"

BUT_DATA = "deploy,svc,sa,role,rolebinding,networkpolicy,pdb,configmap"


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    found = program()
    if found is None:
        pytest.skip("needs kubectl, on the PATH or where KLASSD_TEST_KUBECTL says")
    return Kubectl(found, cluster)


@pytest.fixture
def installation(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[Installation]:
    found = Installation(cluster, kubectl, tmp_path)
    with api_for_pods(cluster) as api, volume_for(cluster, NAME):
        found.write(api)
        yield found
        kubectl("delete", "-k", str(found.overlay), "--ignore-not-found")
        kubectl("delete", "jobs", "-l", SELECTOR)


def test_the_api_server_takes_every_document_of_a_manifest(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    config = tmp_path / "klassd.toml"
    config.write_text("concurrency = 4\n")
    written = Installation(cluster, kubectl, tmp_path)
    every = ("--artifacts", "s3://bucket/prefix", "--secret", "keys", "--config", str(config), "--storage-class", "fast")
    for options in ((), every, ("--store", "secret:db/url", "--replicas", "2", "--open-egress")):
        manifest = written.manifest(*options)
        taken = kubectl("apply", "--dry-run=server", "-f", "-", given=manifest).splitlines()
        assert len(taken) == manifest.count("apiVersion: ") - manifest.count("fieldRef"), taken


@pytest.mark.fault("E33")
def test_an_installation_is_used_outlives_its_scheduler_and_leaves_nothing_behind(installation: Installation) -> None:
    installation.apply()
    runs_a_job_in_a_pod_of_its_own(installation)
    goes_on_under_the_next_scheduler(installation)
    leaves_its_data(installation)
    leaves_nothing(installation)


def runs_a_job_in_a_pod_of_its_own(installation: Installation) -> None:
    run = installation.enqueue("Steps", "count=3")
    installation.cluster.until(lambda: installation.status(run) == "succeeded", "the run to succeed")
    assert installation.klassd("logs", run, "--raw").splitlines()[-3:] == ["step 1", "step 2", "step 3"]
    pod = installation.pods(f"{EXECUTION},klassd.dev/run={run}")[0]
    assert pod["spec"]["serviceAccountName"] == f"{NAME}-jobs"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "klassd-claim" in [volume["name"] for volume in pod["spec"]["volumes"]]  # the scheduler let it start


def goes_on_under_the_next_scheduler(installation: Installation) -> None:
    run = installation.enqueue("Sleeper")
    installation.cluster.until(lambda: "sleeping" in installation.klassd("logs", run), "the job to run")
    before = installation.pods(f"{EXECUTION},klassd.dev/run={run}")
    old = installation.pods(SCHEDULER)[0]["metadata"]["name"]
    installation.kubectl("delete", "pod", old)
    installation.ready()
    assert [pod["metadata"]["uid"] for pod in installation.pods(f"{EXECUTION},klassd.dev/run={run}")] == [
        pod["metadata"]["uid"] for pod in before
    ]
    installation.klassd("stop", run)
    installation.cluster.until(lambda: installation.status(run) == "cancelled", "the run to be cancelled")
    assert installation.klassd("logs", run, "--raw").splitlines()[-2:] == ["sleeping", "woken"]


def leaves_its_data(installation: Installation) -> None:
    """By label, with a job that still runs."""
    run = installation.enqueue("Sleeper")
    installation.cluster.until(lambda: "sleeping" in installation.klassd("logs", run), "the job to run")
    installation.kubectl("delete", BUT_DATA, "-l", SELECTOR, "--cascade=foreground")
    installation.kubectl("delete", "jobs", "-l", SELECTOR)
    claim = [f"persistentvolumeclaim/{NAME}"]
    installation.cluster.until(lambda: installation.left() == claim, "everything but the claim to be gone")


def leaves_nothing(installation: Installation) -> None:
    installation.kubectl("delete", "-k", str(installation.overlay), "--cascade=foreground", "--ignore-not-found")
    installation.cluster.until(lambda: not installation.left(), "everything to be gone")

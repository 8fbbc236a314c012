"""What is left of executions whose scheduler is gone: found, told from what others have, and removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cluster_help import Cluster
from fake_api import NEW, OLD, Rule
from fake_help import Fake, a_fake
from msgspec.structs import replace
from outcomes import PATIENCE, ours

from klassd.workflows.cli import main
from klassd.workflows.executors.kubernetes.api import connect
from klassd.workflows.executors.kubernetes.leftovers import Leftover, find, still_there
from klassd.workflows.order import Order
from klassd.workflows.testing.executors import hear_until, opened, run

JOBS, PODS, SECRETS = "/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods", "/api/v1/namespaces/{}/secrets"
CALLBACK = "http://127.0.0.1:9"  # nobody is there: the claim's Secret is what matters


@pytest.fixture(params=[OLD, NEW], ids=lambda release: release.name)
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    with a_fake(request.param) as found:
        yield found


class Shell:
    """``klassd leftovers`` as it is typed where nothing but a kubeconfig is set up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty: Path) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(empty)

    def __call__(self, cluster: Cluster, *words: str, expected: int = 0) -> str:
        self._monkeypatch.setenv("KLASSD_KUBERNETES_KUBECONFIG", cluster.kubeconfig)
        code = main(["leftovers", "--namespace", cluster.namespace, *words])
        said = self._capsys.readouterr()
        assert code == expected, said
        return said.out + said.err

    def json(self, cluster: Cluster, *words: str, expected: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(cluster, "--json", *words, expected=expected))
        return found


@pytest.fixture
def leftovers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def left_behind(cluster: Cluster, *orders: Order, **settings: Any) -> None:
    """Launched by a scheduler that is gone since."""

    async def launch() -> None:
        async with opened(cluster.executor(**settings)) as executor:
            for order in orders:
                await executor.launch(order)
                if "callback" not in settings:
                    await hear_until(executor, order.execution_id, "sleeping")

    run(launch, PATIENCE)
    for order in orders:  # one that calls back in vain stays silent, and its pod may not be made yet
        cluster.until(partial(cluster.pods, order.execution_id), "its pod to be made")


@pytest.mark.fault("E33")
def test_what_is_left_is_listed_and_stays_until_it_is_to_be_removed(fake: Fake, leftovers: Shell) -> None:
    order = ours("Sleeper")
    left_behind(fake, order)
    (found,) = leftovers.json(fake)["left"]
    pod = fake.pod(order)["metadata"]["name"]
    assert (found["kind"], found["execution"], found["state"]) == ("job", order.execution_id, "active")
    assert found["with"] == [f"pod/{pod}"]
    page = leftovers(fake)
    assert fake.job(order)["metadata"]["name"] in page and "klassd leftovers --delete removes what is listed" in page
    assert fake.pod(order)["status"]["phase"] == "Running"


@pytest.mark.fault("E33")
def test_its_removal_takes_pods_and_secrets_along_and_returns_when_they_are_gone(fake: Fake, leftovers: Shell) -> None:
    left_behind(fake, ours("Sleeper", grace=1.0), ours("Sleeper", grace=1.0))
    left_behind(fake, ours("Sleeper", grace=1.0, claim="secret"), callback=CALLBACK)
    assert len(all_of(fake, SECRETS)) == 1
    assert "removed 3 of klassd in the namespace" in leftovers(fake, "--delete")
    assert [all_of(fake, path) for path in (JOBS, PODS, SECRETS)] == [[], [], []]
    assert "nothing of klassd in the namespace" in leftovers(fake)


@pytest.mark.fault("E33")
def test_a_pod_whose_job_was_deleted_without_it_is_found_and_removed(fake: Fake, leftovers: Shell) -> None:
    order = ours("Sleeper", grace=1.0)
    left_behind(fake, order)
    fake.delete(f"{JOBS}/{fake.job(order)['metadata']['name']}", propagationPolicy="Orphan")
    fake.until(lambda: not fake.jobs(order.execution_id), "its Job to be gone")
    (found,) = leftovers.json(fake)["left"]
    assert (found["kind"], found["state"], found["with"]) == ("pod", "running", [])
    assert leftovers.json(fake, "--delete")["left"] == [] and all_of(fake, PODS) == []


@pytest.mark.fault("E33")
def test_a_pod_made_only_while_its_job_went_is_waited_for(fake: Fake) -> None:
    order = ours("Sleeper", grace=1.0)
    left_behind(fake, order)
    fake.delete(f"{JOBS}/{fake.job(order)['metadata']['name']}", propagationPolicy="Orphan")
    fake.until(lambda: not fake.jobs(order.execution_id), "its Job to be gone")

    async def still() -> list[Leftover]:
        api = connect(fake.settings())
        try:
            (pod,) = await find(api)
            seen_before_it = replace(pod, kind="job", name="gone", holds=())
            return await still_there(api, [seen_before_it], patience=0.0)
        finally:
            await api.close()

    assert [each.kind for each in run(still)] == ["pod"]


@pytest.mark.fault("E33")
def test_what_belongs_to_another_installation_is_named_and_left_alone(fake: Fake, leftovers: Shell) -> None:
    order = ours("Sleeper")
    left_behind(fake, order, instance="shop")
    said = leftovers.json(fake, "--delete")
    assert (said["found"], said["others"]) == ([], {"shop": 1})
    assert fake.pod(order)["status"]["phase"] == "Running"
    assert len(leftovers.json(fake, "--name", "shop")["left"]) == 1


@pytest.mark.fault("E33")
def test_nothing_is_removed_while_a_scheduler_is_there(fake: Fake, leftovers: Shell) -> None:
    order = ours("Sleeper")
    left_behind(fake, order)
    a_scheduler(fake)
    said = leftovers(fake, "--delete", expected=2)
    assert "a scheduler of klassd is still there and may start more: klassd-7c9f-x1" in said and "uninstall it first" in said
    assert fake.pod(order)["status"]["phase"] == "Running"


@pytest.mark.fault("E33")
def test_what_does_not_go_is_told_instead_of_waited_for_for_ever(fake: Fake, leftovers: Shell) -> None:
    left_behind(fake, ours("Sleeper"))
    fake.on_node(lambda kubelet: setattr(kubelet, "lost", True))
    said = leftovers(fake, "--delete", "--wait", "1s", expected=1)
    assert "told 1 of klassd" in said and ", 1 still there" in said and "ending" in said
    assert leftovers.json(fake)["left"][0]["kind"] == "pod"


def test_a_right_that_is_missing_is_named(fake: Fake, leftovers: Shell) -> None:
    forbidden = 'secrets is forbidden: User "eva" cannot list resource "secrets" in API group "" in the namespace "jobs"'
    fake.faults.rules.append(Rule("GET", "/secrets", 403, forbidden))
    said = leftovers(fake, expected=1)
    assert "you may not list secrets" in said and "those of your kubeconfig" in said


@pytest.mark.fault("E33")
def test_on_a_real_cluster_too_all_of_it_is_found_and_goes(cluster: Cluster, leftovers: Shell) -> None:
    left_behind(cluster, ours("Sleeper", grace=1.0), instance="left")
    left_behind(cluster, ours("Sleeper", grace=1.0, claim="secret"), instance="left", callback=CALLBACK)
    found = leftovers.json(cluster, "--name", "left")["left"]
    assert sorted(each.split("/")[0] for one in found for each in one["with"]) == ["pod", "pod", "secret"]
    assert leftovers.json(cluster, "--name", "left", "--delete")["left"] == []
    assert leftovers.json(cluster, "--name", "left")["found"] == []


def all_of(cluster: Cluster, path: str) -> list[Any]:
    found = cluster.get(path)
    assert found
    items: list[Any] = found["items"]
    return items


def a_scheduler(fake: Fake) -> None:
    labels = {
        "app.kubernetes.io/name": "klassd",
        "app.kubernetes.io/component": "scheduler",
        "app.kubernetes.io/instance": "klassd",
    }
    containers = [{"name": "scheduler", "image": "invalid:1"}]  # it cannot run yet, and so stays for the whole test
    pod = {"metadata": {"name": "klassd-7c9f-x1", "labels": labels}, "spec": {"containers": containers}}
    fake.create(PODS, pod)

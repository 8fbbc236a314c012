"""What the scheduler may do, and what happens where it may not."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx2
import pytest
import yaml
from cluster_help import Cluster
from outcomes import came_to, ours

from klassd.workflows import Pod
from klassd.workflows.deploy.installation import Installation
from klassd.workflows.deploy.manifest import manifest
from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.kubernetes import KubernetesExecutor, executor, names
from klassd.workflows.executors.kubernetes.api import SECRETS, Api, ApiError, connect
from klassd.workflows.executors.kubernetes.rights import RIGHTS
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.model.execution import Waiting
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.testing.executors import hear, hear_until, opened, order, run

RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
_PATH = re.compile(
    r"/apis?/((?P<group>[a-z.]+)/)?v1/namespaces/[^/]+/(?P<resource>[a-z]+)(/(?P<name>[^/]+)(/(?P<part>[a-z]+))?)?"
)


class Asked:
    """The rights that were made use of: every request of every executor, as the API server names it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rights: set[tuple[str, str, str]] = set()
        monkeypatch.setattr(executor, "connect", self._connect)

    def _connect(self, settings: KubernetesSettings) -> Api:
        api = connect(settings)
        api._client.event_hooks["request"].append(self._note)
        return api

    async def _note(self, request: httpx2.Request) -> None:
        found = _PATH.fullmatch(request.url.path)
        assert found, request.url.path
        reading = "watch" if request.url.params.get("watch") == "true" else "get" if found["name"] else "list"
        resource = "/".join(filter(None, (found["resource"], found["part"])))
        self.rights.add((found["group"] or "", resource, _VERBS.get(request.method, reading)))


def granted() -> set[tuple[str, str, str]]:
    return {(group, resource, verb) for (group, resource), verbs in RIGHTS.items() for verb in verbs}


def as_account(cluster: Cluster, name: str, path: Path) -> str:
    """A kubeconfig of a service account."""
    cluster.create("/api/v1/namespaces/{}/serviceaccounts", {"metadata": {"name": name}})
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["users"] = [{"name": name, "user": {"token": cluster.token(name)}}]
    for context in config["contexts"]:
        context["context"]["user"] = name
    target = path / "kubeconfig"
    target.write_text(json.dumps(config))
    return str(target)


def test_the_role_of_the_manifest_grants_what_is_asked_for_and_nothing_else(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = as_account(cluster, "scheduler", tmp_path)
    (role,) = [each for each in manifest(Installation(image=cluster.image, app="a:b")) if each["kind"] == "Role"]
    cluster.create(f"{RBAC}/roles", role)
    subject = {"kind": "ServiceAccount", "name": "scheduler", "namespace": cluster.namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]}
    cluster.create(f"{RBAC}/rolebindings", {"metadata": {"name": "klassd"}, "roleRef": reference, "subjects": [subject]})
    asked = Asked(monkeypatch)

    async def check() -> None:
        async with opened(cluster.executor(kubeconfig=kubeconfig, callback="http://127.0.0.1:9")) as executor:
            await one_after_the_other(executor)
            await stopped(executor)
            await orphaned(cluster, executor)
            await podless(cluster, executor)
            await claiming(executor)
            assert (await hear(executor, order("Echo").execution_id)).lost
        await with_a_claim(cluster, kubeconfig)

    run(check)
    assert asked.rights == granted()
    run(lambda: no_secret_can_be_read(cluster, kubeconfig))


async def one_after_the_other(executor: KubernetesExecutor) -> None:
    """Launched by two, as in a takeover; and too large for a variable."""
    large = order("Echo", {"text": "x" * 100_000})
    for _ in range(2):
        await executor.launch(large)
    assert (await hear(executor, large.execution_id)).lines[0] == "x" * 100_000
    await executor.reap(large.execution_id)


async def stopped(executor: KubernetesExecutor) -> None:
    sleeper = ours("Sleeper")
    await executor.launch(sleeper)
    await hear_until(executor, sleeper.execution_id, "sleeping")
    await executor.stop(sleeper.execution_id, 5.0)
    heard = await hear(executor, sleeper.execution_id)
    assert came_to(heard, stop_requested=True).status is ExecutionStatus.STOPPED


async def orphaned(cluster: Cluster, executor: KubernetesExecutor) -> None:
    """Somebody deletes its Job and leaves its pod."""
    sleeper = ours("Sleeper")
    await executor.launch(sleeper)
    await hear_until(executor, sleeper.execution_id, "sleeping")
    path = f"/apis/batch/v1/namespaces/{{}}/jobs/{names.job_name(sleeper.execution_id)}"
    await asyncio.to_thread(cluster.delete, path, propagationPolicy="Orphan")
    await asyncio.to_thread(cluster.until, lambda: not cluster.jobs(sleeper.execution_id), "the Job to be gone")
    await executor.stop(sleeper.execution_id, 5.0)
    assert came_to(await hear(executor, sleeper.execution_id), stop_requested=True).status is ExecutionStatus.STOPPED


async def claiming(executor: KubernetesExecutor) -> None:
    """Its secret is made; nobody answers it here."""
    wanted = ours("Steps", claim="secret")
    await executor.launch(wanted)
    await executor.stop(wanted.execution_id, 0.0)


async def podless(cluster: Cluster, executor: KubernetesExecutor) -> None:
    await asyncio.to_thread(with_quota, cluster, {"pods": "0"})
    try:
        assert "pods=0" in await complaint(executor)
    finally:
        await asyncio.to_thread(cluster.delete, QUOTA)


async def with_a_claim(cluster: Cluster, kubeconfig: str) -> None:
    """That nobody answers: what counts is that its secret could be handed over, and cannot be read back."""
    async with opened(cluster.executor(kubeconfig=kubeconfig, callback="http://127.0.0.1:1")) as executor:
        unheard = ours("Steps", claim="secret", start_deadline=0.1)
        await executor.launch(unheard)
        found = came_to(await hear(executor, unheard.execution_id))
        assert found.cause is Cause.START_DEADLINE and "NoScheduler" in str(found.message)
        assert found.retry and found.infrastructure


async def no_secret_can_be_read(cluster: Cluster, kubeconfig: str) -> None:
    async with opened(cluster.executor(kubeconfig=kubeconfig)) as executor:
        api, _ = executor._parts
        with pytest.raises(ApiError, match=r'cannot get resource "secrets"'):
            await api.get(f"{SECRETS}/any")


@pytest.mark.fault("E7")
def test_a_scheduler_without_rights_is_told_which_one_it_lacks(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kubeconfig = as_account(cluster, "nobody", tmp_path)

    async def check() -> None:
        async with opened(cluster.executor(kubeconfig=kubeconfig)) as executor:
            with pytest.raises(LaunchDelayed, match="lacks the right to create jobs; the role of `klassd manifest` has it"):
                await executor.launch(ours("Steps"))
            said = ("lacks the right to list jobs;", "lacks the right to list pods;")
            await asyncio.to_thread(cluster.until, lambda: all(each in caplog.text for each in said), "both to be told")

    run(check)


@pytest.mark.fault("E8")
def test_a_pod_that_the_api_refuses_fails_with_its_words(cluster: Cluster) -> None:
    async def check() -> None:
        async with opened(cluster.executor()) as executor:
            with pytest.raises(LaunchRefused, match=r"Invalid value|Unsupported value"):
                await executor.launch(ours("Steps", pod=Pod(patch={"spec": {"dnsPolicy": "No such policy"}})))

    run(check)


@pytest.mark.fault("E6")
def test_a_full_quota_of_jobs_is_waited_for(cluster: Cluster) -> None:
    with_quota(cluster, {"count/jobs.batch": "0"})

    async def check() -> None:
        wanted = ours("Steps")
        async with opened(cluster.executor()) as executor:
            try:
                with pytest.raises(LaunchDelayed, match="exceeded quota"):
                    await executor.launch(wanted)
            finally:
                await asyncio.to_thread(cluster.delete, QUOTA)
            await executor.launch(wanted)
            assert came_to(await hear(executor, wanted.execution_id)).status is ExecutionStatus.SUCCEEDED

    run(check)


@pytest.mark.fault("E6")
def test_a_job_that_gets_no_pod_says_why(cluster: Cluster) -> None:
    with_quota(cluster, {"pods": "0"})

    async def check() -> str:
        async with opened(cluster.executor()) as executor:
            return await complaint(executor)

    try:
        assert "pods=0" in run(check)
    finally:
        cluster.delete(QUOTA)


async def complaint(executor: KubernetesExecutor) -> str:
    """What a job without a pod says of its quota; it is stopped then."""
    wanted = ours("Sleeper")
    await executor.launch(wanted)
    async for batch in executor.follow(wanted.execution_id, "", 0, 1):
        for each in batch:
            if isinstance(each, Waiting) and "exceeded quota" in each.why:
                await executor.stop(wanted.execution_id, 0.0)
                return each.why
    raise AssertionError("it ended without a word of the quota")


QUOTA = "/api/v1/namespaces/{}/resourcequotas/full"


def with_quota(cluster: Cluster, hard: dict[str, str]) -> None:
    cluster.create("/api/v1/namespaces/{}/resourcequotas", {"metadata": {"name": "full"}, "spec": {"hard": hard}})
    cluster.until(lambda: (cluster.get(QUOTA) or {}).get("status", {}).get("hard"), "the quota to hold")

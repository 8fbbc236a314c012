"""What the scheduler may do, and what happens where it may not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_help import Cluster
from test_cluster_outcomes import came_to, ours

from klassd.workflows import Pod
from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.kubernetes.api import SECRETS, ApiError
from klassd.workflows.model.execution import Waiting
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.testing.executors import hear, hear_until, opened, order, run

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes.md"


def documented_role() -> dict[str, Any]:
    text = PAGE.read_text().split("<!-- rights:", 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]
    found: dict[str, Any] = yaml.safe_load(text)
    return found


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


def test_the_documented_rights_are_enough_for_every_verb(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = as_account(cluster, "scheduler", tmp_path)
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"
    cluster.create(f"{rbac}/roles", documented_role())
    subject = {"kind": "ServiceAccount", "name": "scheduler", "namespace": cluster.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "klassd"}
    cluster.create(f"{rbac}/rolebindings", {"metadata": {"name": "klassd"}, "roleRef": role, "subjects": [subject]})

    async def check() -> None:
        async with opened(cluster.executor(kubeconfig=kubeconfig)) as executor:
            large, sleeper = order("Echo", {"text": "x" * 100_000}), ours("Sleeper")
            await executor.launch(large)
            assert (await hear(executor, large.execution_id)).lines[0] == "x" * 100_000
            await executor.reap(large.execution_id)
            await executor.launch(sleeper)
            await hear_until(executor, sleeper.execution_id, "sleeping")
            await executor.stop(sleeper.execution_id, 5.0)
            heard = await hear(executor, sleeper.execution_id)
            assert came_to(heard, stop_requested=True).status is ExecutionStatus.STOPPED
            assert (await hear(executor, order("Echo").execution_id)).lost

    run(check)

    async def with_a_claim() -> None:
        """That nobody answers: what counts is that it could be handed over."""
        async with opened(cluster.executor(kubeconfig=kubeconfig, callback="http://127.0.0.1:1")) as executor:
            unheard = ours("Steps", claim="secret", start_deadline=0.1)
            await executor.launch(unheard)
            found = came_to(await hear(executor, unheard.execution_id))
            assert found.cause is Cause.START_DEADLINE and "NoScheduler" in str(found.message)
            assert found.retry and found.infrastructure

    run(with_a_claim)

    async def nothing_is_read() -> None:
        async with opened(cluster.executor(kubeconfig=kubeconfig)) as executor:
            api, _ = executor._parts
            with pytest.raises(ApiError, match=r'cannot get resource "secrets"'):
                await api.get(f"{SECRETS}/any")

    run(nothing_is_read)


@pytest.mark.fault("E7")
def test_a_scheduler_without_rights_is_told_which_one_it_lacks(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = as_account(cluster, "nobody", tmp_path)

    async def check() -> None:
        async with opened(cluster.executor(kubeconfig=kubeconfig)) as executor:
            with pytest.raises(LaunchDelayed, match=r'lacks a right.*cannot create resource "jobs"'):
                await executor.launch(ours("Steps"))

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
        wanted = ours("Sleeper")
        async with opened(cluster.executor()) as executor:
            await executor.launch(wanted)
            async for batch in executor.follow(wanted.execution_id, "", 0, 1):
                for each in batch:
                    if isinstance(each, Waiting) and "exceeded quota" in each.why:
                        await executor.stop(wanted.execution_id, 0.0)
                        return each.why
            raise AssertionError("it ended without a word of the quota")

    try:
        assert "pods=0" in run(check)
    finally:
        cluster.delete(QUOTA)


QUOTA = "/api/v1/namespaces/{}/resourcequotas/full"


def with_quota(cluster: Cluster, hard: dict[str, str]) -> None:
    cluster.create("/api/v1/namespaces/{}/resourcequotas", {"metadata": {"name": "full"}, "spec": {"hard": hard}})
    cluster.until(lambda: (cluster.get(QUOTA) or {}).get("status", {}).get("hard"), "the quota to hold")

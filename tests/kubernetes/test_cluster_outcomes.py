"""What a job comes to on a cluster, real or not, and what is told of it when that or somebody with kubectl interferes."""

from __future__ import annotations

import asyncio

import pytest
from cluster_help import Cluster, everywhere
from outcomes import alive, came_to, ours, sleeping, told

from klassd.workflows import Pod, Resources
from klassd.workflows.model.execution import Progress, Waiting
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.order import Order
from klassd.workflows.pods import FromSecret, Toleration
from klassd.workflows.ports import Executor
from klassd.workflows.testing.executors import opened, order, run

pytestmark = everywhere


# -- jobs that end by themselves --------------------------------------------------------------------------------------


def test_a_job_completes_with_its_bar_at_the_total(cluster: Cluster) -> None:
    heard = told(cluster, ours("Steps", {"count": 20}))
    bars = [each.bars[""] for each in heard.told if isinstance(each, Progress)]
    assert (bars[-1]["at"], bars[-1]["of"]) == (20, 20)
    assert heard.lines == [f"step {number}" for number in range(1, 21)]
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED and heard.outputs == {"": 20}


def test_a_failing_job_says_why(cluster: Cluster) -> None:
    found = came_to(told(cluster, ours("Broken")))
    assert (found.cause, found.message) == (Cause.EXCEPTION, "RuntimeError: the disk is on fire")


def test_a_job_whose_module_is_not_in_the_image_says_so(cluster: Cluster) -> None:
    found = came_to(told(cluster, order("Nowhere", module="no_such_module")))
    assert found.cause is Cause.INPUT and "no_such_module" in str(found.message)


def test_resources_selector_and_toleration_are_in_the_pod_that_ran(cluster: Cluster) -> None:
    pod = Pod(
        node_selector={"kubernetes.io/os": "linux"},
        tolerations=[Toleration("dedicated", value="batch", effect="NoSchedule")],
    )
    wanted = ours("Steps", {"count": 1}, pod, Resources(cpu="50m/500m", memory="64Mi/256Mi"))
    assert came_to(told(cluster, wanted)).status is ExecutionStatus.SUCCEEDED
    (made,) = cluster.pods(wanted.execution_id)
    assert made["spec"]["containers"][0]["resources"]["limits"]["memory"] == "256Mi"
    assert made["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "dedicated" in [each.get("key") for each in made["spec"]["tolerations"]]


@pytest.mark.fault("E29")
def test_inputs_too_large_for_a_variable_arrive(cluster: Cluster) -> None:
    assert told(cluster, order("Echo", {"text": "x" * 200_000})).lines[0] == "x" * 200_000


# -- what the machine does to it --------------------------------------------------------------------------------------


@pytest.mark.fault("E17")
def test_a_job_that_takes_too_much_memory_is_told_with_its_limit(cluster: Cluster) -> None:
    found = came_to(told(cluster, ours("Hungry", resources=Resources(memory="48Mi/96Mi"))))
    assert found.cause is Cause.OOM and "96Mi" in str(found.message)
    assert found.infrastructure


@pytest.mark.fault("E16")
def test_an_evicted_pod_is_told_as_evicted_and_not_started_again(cluster: Cluster) -> None:
    wanted = ours("Sleeper")

    def evict() -> None:
        (pod,) = cluster.pods(wanted.execution_id)
        cluster.evict(pod["metadata"]["name"])

    heard = sleeping(cluster, wanted, evict)
    found = came_to(heard)
    assert (found.cause, found.infrastructure) == (Cause.EVICTED, True), found.message
    assert heard.lines == ["sleeping", "woken"] and heard.started == 1
    cluster.until(lambda: not [pod for pod in cluster.pods(wanted.execution_id) if alive(pod)], "the end of all its pods")


@pytest.mark.fault("E21")
def test_a_pod_deleted_by_hand_is_not_silently_replaced(cluster: Cluster) -> None:
    wanted = ours("Sleeper")

    def delete() -> None:
        (pod,) = cluster.pods(wanted.execution_id)
        cluster.delete(f"/api/v1/namespaces/{{}}/pods/{pod['metadata']['name']}")

    heard = sleeping(cluster, wanted, delete)
    found = came_to(heard)
    assert found.cause is Cause.EVICTED and found.retry and "not by a scheduler" in str(found.message)
    assert heard.started == 1
    cluster.until(lambda: not [pod for pod in cluster.pods(wanted.execution_id) if alive(pod)], "the end of all its pods")


@pytest.mark.fault("E20")
@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_job_deleted_by_hand_is_told_once_its_pod_is_dead(cluster: Cluster, policy: str) -> None:
    wanted = ours("Sleeper")
    heard = sleeping(cluster, wanted, lambda: cluster.delete(path_of(cluster, wanted), propagationPolicy=policy))
    found = came_to(heard)
    assert (found.status, found.cause) == (ExecutionStatus.STOPPED, Cause.STOPPED), found
    assert heard.lines[0] == "sleeping"


@pytest.mark.fault("E20")
def test_a_pod_orphaned_by_hand_runs_on_and_can_be_stopped(cluster: Cluster) -> None:
    wanted = ours("Sleeper")

    async def meanwhile(executor: Executor) -> None:
        await asyncio.to_thread(cluster.delete, path_of(cluster, wanted), propagationPolicy="Orphan")
        await asyncio.to_thread(cluster.until, lambda: not cluster.jobs(wanted.execution_id), "the end of its Job")
        await executor.stop(wanted.execution_id, 5.0)

    heard = told(cluster, wanted, meanwhile, after="sleeping")
    assert heard.lines == ["sleeping", "woken"]
    assert came_to(heard, stop_requested=True).status is ExecutionStatus.STOPPED


@pytest.mark.fault("E28")
def test_a_job_that_outlives_its_deadline_is_told_so(cluster: Cluster) -> None:
    found = came_to(told(cluster, ours("Sleeper"), active_deadline=cluster.soon(4)))
    assert found.cause is Cause.DEADLINE, found


def test_its_own_timeout_ends_it_before_the_cluster_does(cluster: Cluster) -> None:
    found = came_to(told(cluster, ours("Sleeper", timeout=1.0)))
    assert found.cause is Cause.DEADLINE and "woken" not in str(found.message)


# -- what never starts ------------------------------------------------------------------------------------------------


@pytest.mark.fault("E18")
def test_an_image_that_cannot_be_pulled_is_waited_for_and_then_given_up(cluster: Cluster) -> None:
    wanted = ours("Steps", pod=Pod(image="registry.invalid/none:1"))
    heard = told(cluster, wanted, start_deadline=cluster.soon(5))  # a kubelet may take a minute to let go of such a pod
    waits = [each.why for each in heard.told if isinstance(each, Waiting)]
    assert any("ErrImagePull" in why or "ImagePullBackOff" in why for why in waits), waits
    found = came_to(heard)
    assert found.cause is Cause.START_DEADLINE and "Image" in str(found.message), found.message
    cluster.until(lambda: not cluster.pods(wanted.execution_id), "the end of what could start later")


@pytest.mark.fault("E18")
def test_a_pod_that_needs_a_secret_that_is_not_there_says_so(cluster: Cluster) -> None:
    wanted = ours("Steps", pod=Pod(env_from=[FromSecret("no-such-secret")]))

    async def check() -> str:
        async with opened(cluster.executor()) as executor:
            await executor.launch(wanted)
            async for batch in executor.follow(wanted.execution_id, "", 0, 1):
                for each in batch:
                    if isinstance(each, Waiting) and "no-such-secret" in each.why:
                        await executor.stop(wanted.execution_id, 0.0)
                        return each.why
            raise AssertionError("it ended without a word of the secret")

    assert "CreateContainerConfigError" in run(check)


@pytest.mark.fault("E19")
def test_a_pod_that_fits_nowhere_says_so_and_is_given_up(cluster: Cluster) -> None:
    wanted = ours("Steps", resources=Resources(cpu="500"))
    heard = told(cluster, wanted, start_deadline=cluster.soon(4))
    assert any("nodes are available" in each.why for each in heard.told if isinstance(each, Waiting))
    found = came_to(heard)
    assert found.cause is Cause.START_DEADLINE and "Insufficient cpu" in str(found.message)
    cluster.until(lambda: not cluster.pods(wanted.execution_id), "the end of what could start later")


@pytest.mark.fault("E31")
def test_a_pod_stopped_before_it_started_leaves_nothing_running(cluster: Cluster) -> None:
    wanted = ours("Sleeper")

    async def meanwhile(executor: Executor) -> None:
        await executor.stop(wanted.execution_id, 1.0)

    heard = told(cluster, wanted, meanwhile)
    assert came_to(heard, stop_requested=True).status is ExecutionStatus.STOPPED
    cluster.until(lambda: not [pod for pod in cluster.pods(wanted.execution_id) if alive(pod)], "the end of its pod")


def path_of(cluster: Cluster, wanted: Order) -> str:
    (job,) = cluster.jobs(wanted.execution_id)
    return f"/apis/batch/v1/namespaces/{{}}/jobs/{job['metadata']['name']}"

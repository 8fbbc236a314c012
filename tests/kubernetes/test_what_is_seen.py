"""What the objects of the API come to, as a table: each row is what some version of Kubernetes says."""

from __future__ import annotations

from typing import Any

import pytest

from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.kubernetes.api import ApiError
from klassd.workflows.executors.kubernetes.names import CLAIM, ON_REQUEST, REQUIRED, STOPPED, TOO_LATE
from klassd.workflows.executors.kubernetes.refusals import launch_error
from klassd.workflows.executors.kubernetes.seen import gone, seen
from klassd.workflows.executors.kubernetes.view import Known
from klassd.workflows.model.states import Cause

RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def pod(state: dict[str, Any], *, deleted: bool = False, name: str = "p", created: str = "1", **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": name, "creationTimestamp": created}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    limits = {"limits": {"memory": "512Mi"}}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "worker", "resources": limits}, {"name": "istio-proxy"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "istio-proxy", "state": RUNNING}, {"name": "worker", "state": state}],
            **status,
        },
    }


def job(*conditions: tuple[str, str], stopped: str = "", deleted: bool = False, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "j", "uid": "j", "annotations": {STOPPED: stopped} if stopped else {}}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    found = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions]
    return {"metadata": metadata, "spec": {"parallelism": 1, **spec}, "status": {"conditions": found}}


EVICTED = {"reason": "Evicted", "message": "The node was low on resource: memory."}
DISRUPTED = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}
DEADLINE = job(("Failed", "DeadlineExceeded"))

ENDS = [
    pytest.param(job(), pod(ended(0, "Completed")), "", "", id="in order, while an injected sidecar runs on",
                 marks=pytest.mark.fault("E25")),
    pytest.param(job(), pod(ended(3)), "", "", id="an exit code"),
    pytest.param(job(), pod(ended(137, "OOMKilled")), Cause.OOM, "512Mi", id="memory", marks=pytest.mark.fault("E17")),
    pytest.param(job(), pod(ended(137), **EVICTED), Cause.EVICTED, "low on resource", id="kubelet's eviction",
                 marks=pytest.mark.fault("E16")),
    pytest.param(job(), pod(ended(137, "ContainerStatusUnknown"), **EVICTED), Cause.EVICTED, "low on resource",
                 id="kubelet's eviction, its container not found any more", marks=pytest.mark.fault("E16")),
    pytest.param(job(), pod(ended(143), deleted=True, **DISRUPTED), Cause.EVICTED, "Preemption", id="preemption",
                 marks=pytest.mark.fault("E16")),
    pytest.param(job(), pod(ended(143), reason="NodeShutdown"), Cause.EVICTED, "NodeShutdown", id="node shutdown",
                 marks=pytest.mark.fault("E16")),
    pytest.param(job(), pod(ended(143), deleted=True), Cause.EVICTED, "not by a scheduler", id="pod deleted",
                 marks=pytest.mark.fault("E21")),
    pytest.param(None, pod(ended(143), deleted=True), Cause.STOPPED, "Job was deleted", id="job deleted",
                 marks=pytest.mark.fault("E20")),
    pytest.param(job(deleted=True), pod(ended(143), deleted=True), Cause.STOPPED, "Job was deleted",
                 id="job deleted, waiting for its pod", marks=pytest.mark.fault("E20")),
    pytest.param(job(stopped=ON_REQUEST), pod(ended(143), deleted=True), "", "", id="stopped by us"),
    pytest.param(DEADLINE, pod(ended(143), deleted=True), Cause.DEADLINE, "DeadlineExceeded", id="the Job's deadline",
                 marks=pytest.mark.fault("E28")),
    pytest.param(job(("FailureTarget", "DeadlineExceeded")), pod(ended(143), deleted=True), Cause.DEADLINE, "",
                 id="the same, 1.31", marks=pytest.mark.fault("E28")),
    pytest.param(job(), pod(ended(128, "StartError")), Cause.IMAGE, "StartError", id="no such command in the image"),
    pytest.param(job(stopped=TOO_LATE), pod(ended(137, "ContainerStatusUnknown"), deleted=True), Cause.START_DEADLINE,
                 "in time", id="given up, 1.22", marks=pytest.mark.fault("E18")),
    pytest.param(job(stopped=TOO_LATE), pod({"waiting": {}}, deleted=True, phase="Failed"), Cause.START_DEADLINE,
                 "in time", id="given up without a node, 1.26", marks=pytest.mark.fault("E19")),
    pytest.param(job(), pod(ended(137, "ContainerStatusUnknown"), deleted=True), Cause.EVICTED, "not by a scheduler",
                 id="pod deleted before it started, 1.22", marks=pytest.mark.fault("E21")),
    pytest.param(job(), pod(ended(137, "ContainerStatusUnknown")), Cause.LOST, "Unknown", id="the node forgot",
                 marks=pytest.mark.fault("E14")),
]  # fmt: skip


@pytest.mark.parametrize(("job", "pod", "cause", "words"), ENDS)
def test_a_terminated_container_is_told_with_the_cluster_s_reason(job: Any, pod: Any, cause: str, words: str) -> None:
    found = seen(job, pod).exit
    assert found is not None
    assert (found.reason, words in found.message) == (cause, True), found


LIMITS = [
    ({"limits": {"memory": "512Mi"}, "requests": {"memory": "128Mi"}}, "128Mi/512Mi", "its limit of 512Mi"),
    ({"limits": {"memory": "1G"}}, "1G/1G", "its limit of 1G"),
    ({"requests": {"memory": "128Mi"}}, "", "its node had no memory left"),
    ({}, "", "its node had no memory left"),
    ({"limits": {"memory": "1e9"}}, "", ""),
]


@pytest.mark.fault("E17")
@pytest.mark.parametrize(("resources", "memory", "words"), LIMITS)
def test_a_kill_for_memory_tells_what_there_was_to_use(resources: dict[str, Any], memory: str, words: str) -> None:
    killed = pod(ended(137, "OOMKilled"))
    killed["spec"]["containers"][0]["resources"] = resources
    found = seen(job(), killed).exit
    assert found and (found.reason, found.memory) == (Cause.OOM, memory)
    assert words in found.message


@pytest.mark.parametrize(
    "status",
    [{"phase": "Unknown", "reason": "NodeLost"}, {"conditions": [{"type": "Ready", "status": "Unknown"}]}, DISRUPTED],
)
@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.fault("E14")
def test_no_pod_that_may_be_alive_has_ended(status: dict[str, Any], deleted: bool) -> None:
    found = seen(job(), pod(RUNNING, deleted=deleted, **status))
    assert found.running and found.exit is None


def test_a_pod_that_failed_without_running_says_which_init_container_it_was() -> None:
    failing = [{"name": "fetch", "state": ended(7)}]
    found = seen(job(), pod({"waiting": {"reason": "PodInitializing"}}, phase="Failed", initContainerStatuses=failing)).exit
    assert found and found.reason == Cause.EXIT and "'fetch'" in found.message and found.exit_code == 7


GONE = [
    (job(), pod(RUNNING), Cause.LOST, "nobody saw"),
    (job(), pod(RUNNING, **EVICTED), Cause.LOST, "nobody saw"),
    (None, pod(RUNNING, deleted=True), Cause.STOPPED, "Job was deleted"),
    (None, None, Cause.STOPPED, "Job was deleted"),
    (job(parallelism=0), None, Cause.LOST, "nothing is known"),
    (job(stopped=TOO_LATE), pod({"waiting": {}}), Cause.START_DEADLINE, "did not start"),
    (job(), pod({"waiting": {}}), Cause.EVICTED, "before it started"),
]


@pytest.mark.fault("E12", "E20", "E21")
@pytest.mark.parametrize(("job", "pod", "cause", "words"), GONE)
def test_a_pod_that_is_gone_is_told_with_what_is_certain(job: Any, pod: Any, cause: Cause, words: str) -> None:
    found = gone(job, pod)
    assert found.reason == cause and words in found.message, found


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
WAITS = [
    (job(suspend=True), None, "suspended"),
    (job(), None, "no pod yet"),
    (job(), pod({}, phase="Pending", conditions=[UNSCHEDULABLE]), "0/3 nodes are available"),
    (
        job(),
        pod({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}, phase="Pending"),
        "ImagePullBackOff",
    ),
    (job(), pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending"), "ContainerCreating"),
]


@pytest.mark.fault("E18", "E19", "E27")
@pytest.mark.parametrize(("job", "pod", "words"), WAITS)
def test_what_does_not_run_yet_says_what_for(job: Any, pod: Any, words: str) -> None:
    found = seen(job, pod)
    assert not found.running and found.exit is None and words in found.waiting


REFUSALS = [
    (403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: q', LaunchDelayed, "quota", "E6"),
    (403, "Forbidden", 'jobs.batch is forbidden: User "u" cannot create resource "jobs"', LaunchDelayed, "configuration", "E7"),
    (403, "Forbidden", "forbidden because it is being terminated", LaunchRefused, "deleted", "E24"),
    (403, "Forbidden", 'admission webhook "w" denied the request: no', LaunchRefused, "denied the request", "E26"),
    (404, "NotFound", 'namespaces "x" not found', LaunchDelayed, "configuration", "E7"),
    (409, "Conflict", "Operation cannot be fulfilled on resourcequotas", LaunchDelayed, "conflict", "E6"),
    (422, "Invalid", "spec.template.spec.containers[0].image: Required value", LaunchRefused, "image: Required", "E8"),
]


@pytest.mark.fault("E6", "E7", "E8", "E24", "E26")
@pytest.mark.parametrize(("status", "reason", "message", "kind", "words", "scenario"), REFUSALS)
def test_a_refused_launch_waits_unless_it_can_never_work(
    status: int, reason: str, message: str, kind: type[Exception], words: str, scenario: str
) -> None:
    found = launch_error(ApiError(status, reason, message), "jobs")
    assert type(found) is kind and words in str(found), scenario


# -- pods that Kubernetes makes besides -------------------------------------------------------------------------------


def known(*pods: dict[str, Any], of: dict[str, Any] | None = None) -> Known:
    found = Known()
    found.job = of or job()
    for each in pods:
        found.put_pod(each)
    return found


@pytest.mark.fault("E21", "E23")
def test_a_pod_that_was_told_to_end_must_not_be_replaced() -> None:
    assert not known(pod(RUNNING)).doomed
    assert known(pod(RUNNING, deleted=True)).doomed
    assert not known(pod(RUNNING, deleted=True), of=job(parallelism=0)).doomed
    assert not known(pod(RUNNING, deleted=True), of=job(("Failed", "BackoffLimitExceeded"))).doomed


@pytest.mark.fault("E23")
def test_an_attempt_is_its_first_pod_and_ends_when_no_other_is_alive() -> None:
    first, twin = pod(ended(143), deleted=True, name="b", created="1"), pod(RUNNING, name="a", created="2")
    for order in ((first, twin), (twin, first)):
        found = known(*order)
        assert found.first == "b"
        assert found.seen.exit is None
        found.put_pod(pod(ended(143), deleted=True, name="a", created="2"))
        assert found.seen.exit is not None


# -- second pods ------------------------------------------------------------------------------------------------------


def claiming(state: dict[str, Any], name: str, created: str, **more: Any) -> dict[str, Any]:
    found = pod(state, name=name, created=created, **more)
    found["metadata"]["annotations"] = {CLAIM: REQUIRED}
    return found


def shown(*pods: dict[str, Any]) -> Known:
    known = Known()
    for each in pods:
        known.put_pod(each)
    return known


REFUSED = ended(3)


@pytest.mark.fault("E23")
def test_the_pod_that_was_not_refused_is_followed_whichever_was_made_first() -> None:
    first, second = claiming(REFUSED, "a", "1"), claiming(RUNNING, "b", "2")
    for known in (shown(first, second), shown(second, first), shown(claiming(RUNNING, "a", "1"), second, first)):
        assert (known.first, known.refused) == ("b", ["a"]) and known.seen.running
    known = shown(second, claiming(ended(0), "b", "2"), first)
    assert known.seen.exit is not None and known.seen.exit.exit_code == 0


@pytest.mark.fault("E23")
def test_of_two_that_may_both_run_it_is_the_first_and_a_refused_one_changes_nothing() -> None:
    known = shown(claiming(RUNNING, "a", "1"), claiming(RUNNING, "b", "2"), claiming(REFUSED, "b", "2"))
    assert (known.first, known.refused) == ("a", ["b"]) and known.seen == seen(None, pod(RUNNING))


def test_one_that_is_gone_is_still_the_one_when_the_others_were_refused() -> None:
    known = shown(claiming(RUNNING, "a", "1"), claiming(REFUSED, "b", "2"))
    known.drop_pod(claiming(RUNNING, "a", "1"))
    known.put_pod(claiming(REFUSED, "c", "3"))
    assert known.first == "a" and known.seen.exit is not None and known.seen.exit.reason == Cause.LOST


def test_where_all_were_refused_the_first_one_says_why() -> None:
    known = shown(claiming(REFUSED, "a", "1"), claiming(REFUSED, "b", "2"))
    assert known.first == "a" and known.seen.exit is not None and known.seen.exit.exit_code == 3


def test_an_exit_code_of_three_means_nothing_where_pods_do_not_claim() -> None:
    known = shown(pod(REFUSED, name="a", created="1"), pod(RUNNING, name="b", created="2"))
    assert (known.first, known.refused) == ("a", [])

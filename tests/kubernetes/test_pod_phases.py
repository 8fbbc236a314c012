"""Where a pod is and how far it came, from objects as Kubernetes gave them: 1.20, and what newer versions add."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes.api import Api, ApiError
from klassd.workflows.executors.kubernetes.course import Course
from klassd.workflows.executors.kubernetes.describe import commands, description
from klassd.workflows.executors.kubernetes.names import COLLECTED, CONTAINER
from klassd.workflows.executors.kubernetes.phases import event_time, located, phases
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.executors.kubernetes.timestamps import epoch
from klassd.workflows.model.execution import Located, Reached
from klassd.workflows.model.phases import Phases

AT = 1795665776.0  # 2026-11-26T04:02:56Z


def since(second: int) -> str:
    return f"2026-11-26T04:02:{second:02}Z"


def condition(kind: str, second: int, status: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since(second), **more}


def pod(state: dict[str, Any] | None = None, *conditions: dict[str, Any], node: str | None = "n1", **status: Any) -> Any:
    spec: dict[str, Any] = {"containers": [{"name": "worker"}]} | ({"nodeName": node} if node else {})
    status = {"phase": "Pending", "conditions": list(conditions), **status}
    if state is not None:
        status["containerStatuses"] = [{"name": "proxy", "state": {"running": {"startedAt": since(1)}}}]
        status["containerStatuses"].append({"name": "worker", "state": state})
    return {"metadata": {"name": "p-x1", "uid": "u"}, "spec": spec, "status": status}


def of_image(shown: Any) -> Any:
    shown["metadata"]["annotations"] = {CONTAINER: COLLECTED}
    ended = {"terminated": {"exitCode": 0, "startedAt": since(58), "finishedAt": since(59)}}
    shown["status"]["initContainerStatuses"] = [{"name": "container", "state": ended}]
    return shown


def event(reason: str, message: str = "", part: str | None = "spec.containers{worker}", **times: Any) -> dict[str, Any]:
    of = {"kind": "Pod", "name": "p-x1", **({"fieldPath": part} if part else {})}
    return {"reason": reason, "message": message, "type": "Normal", "involvedObject": of, **times}


SCHEDULED, INITIALIZED = condition("PodScheduled", 56), condition("Initialized", 58, reason="PodCompleted")
STARTED = {"running": {"startedAt": since(59)}}
INIT = {"initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 0}}}]}
CURRENT = (condition("PodReadyToStartContainers", 57), SCHEDULED, INITIALIZED, condition("ContainersReady", 59, "False"))
OLD_PULLED = event("Pulled", eventTime=None, firstTimestamp=since(58), lastTimestamp=since(58), count=1)
NEW_PULLED = event("Pulled", eventTime="2026-11-26T04:02:58.250000Z", firstTimestamp=None, lastTimestamp=None)

SHAPES = [
    pytest.param(pod(node=None), [], Phases(), id="nothing yet"),
    pytest.param(pod(None, condition("PodScheduled", 56, "False", reason="Unschedulable"), node=None), [], Phases(),
                 id="unschedulable"),
    pytest.param(pod({"waiting": {"reason": "ContainerCreating"}}, SCHEDULED, INITIALIZED), [], Phases(scheduled=AT),
                 id="its image is pulled; there is no init container to wait for"),
    pytest.param(pod({"waiting": {"reason": "PodInitializing"}}, SCHEDULED, INITIALIZED, **INIT), [],
                 Phases(scheduled=AT, initialized=AT + 2), id="init containers are done"),
    pytest.param(of_image(pod(None, SCHEDULED, INITIALIZED)), [event("Pulled", part="spec.initContainers{container}",
                 lastTimestamp=since(57))], Phases(scheduled=AT, pulled=AT + 1, container=AT + 2),
                 id="an image whose files are read: it is the last init container"),
    pytest.param(pod(STARTED, SCHEDULED, INITIALIZED), [OLD_PULLED], Phases(scheduled=AT, pulled=AT + 2, container=AT + 3),
                 id="1.20"),
    pytest.param(pod(STARTED, *CURRENT), [NEW_PULLED], Phases(scheduled=AT, pulled=AT + 2.25, container=AT + 3), id="1.36"),
    pytest.param(pod({"terminated": {"exitCode": 0, "startedAt": since(59), "finishedAt": since(59)}}, SCHEDULED), [],
                 Phases(scheduled=AT, container=AT + 3), id="it has ended"),
    pytest.param(pod({"terminated": {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"}}, SCHEDULED),
                 [], Phases(scheduled=AT), id="it could not be started"),
    pytest.param(pod({"terminated": {"exitCode": 137, "startedAt": None}}, SCHEDULED), [], Phases(scheduled=AT), id="no time"),
    pytest.param(pod(STARTED, SCHEDULED), [event("Pulled", part="spec.initContainers{fetch}", lastTimestamp=since(58))],
                 Phases(scheduled=AT, container=AT + 3), id="another container's image"),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "events", "wanted"), SHAPES)
def test_a_pod_tells_how_far_it_came(pod: Any, events: list[Any], wanted: Phases) -> None:
    assert phases(pod, events) == wanted


def test_where_it_is_is_told_as_far_as_it_is_known() -> None:
    assert located(pod(node=None)) == {"pod": "p-x1"}
    assert located(pod()) == {"pod": "p-x1", "node": "n1"}


def test_an_event_that_repeats_itself_is_told_with_the_time_it_was_seen_last() -> None:
    times = {"firstTimestamp": since(1), "lastTimestamp": since(5)}
    assert event_time(event("BackOff", **times)) == epoch(since(5))
    series = {"eventTime": since(1), "series": {"count": 3, "lastObservedTime": "2026-11-26T04:02:07.500000Z"}}
    assert event_time(event("FailedScheduling", **series)) == AT - 49 + 0.5
    assert event_time(event("Odd", eventTime="yesterday")) is None


# -- told along the way ---------------------------------------------------------------------------------------------


class Events(Api):
    def __init__(self, answer: list[dict[str, Any]] | Exception) -> None:
        self.answer, self.asked = answer, 0

    async def events(self, name: str) -> list[dict[str, Any]]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def told(api: Events, *pods: Any) -> list[Any]:
    async def follow() -> list[Any]:
        course = Course(api)
        return [await course.news(each) for each in pods]

    return asyncio.run(follow())


def test_each_thing_is_told_once() -> None:
    waits, quick = pod({"waiting": {}}, SCHEDULED), pod({"running": {"startedAt": since(57)}}, SCHEDULED)
    api = Events([])
    assert told(api, None, pod(node=None), waits, waits, quick, quick) == [
        [],
        [Located(at={"pod": "p-x1"})],
        [Located(at={"pod": "p-x1", "node": "n1"}), Reached(phases=Phases(scheduled=AT))],
        [],
        [Reached(phases=Phases(scheduled=AT, container=AT + 1))],
        [],
    ]
    assert api.asked == 0


def test_only_a_pod_that_was_slow_to_start_is_worth_a_request_and_only_one() -> None:
    api, slow = Events([OLD_PULLED]), pod(STARTED, SCHEDULED)
    first, second = told(api, slow, slow)
    assert first[1] == Reached(phases=Phases(scheduled=AT, pulled=AT + 2, container=AT + 3)) and second == []
    assert api.asked == 1


@pytest.mark.parametrize("trouble", [ApiError(403, "Forbidden", "no"), ConnectionError("gone")])
def test_events_that_cannot_be_had_hold_nothing_up(trouble: Exception) -> None:
    (news,) = told(Events(trouble), pod(STARTED, SCHEDULED))
    assert news[1] == Reached(phases=Phases(scheduled=AT, container=AT + 3))


# -- described on demand --------------------------------------------------------------------------------------------


def test_a_description_has_state_reason_conditions_and_events_in_order() -> None:
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    failed = event("Failed", "no such image", lastTimestamp=since(59), count=4) | {"type": "Warning"}
    created = event("SuccessfulCreate", "Created pod: p-x1", None, lastTimestamp=since(55))
    created["involvedObject"]["kind"] = "Job"
    unready = condition("Ready", 56, "False", reason="ContainersNotReady")

    found = description({"spec": {}}, pod(waits, SCHEDULED, unready), [failed, created])

    assert (found.state, found.why) == ("Pending", "ImagePullBackOff: Back-off pulling image")
    assert found.conditions == {"PodScheduled": "True", "Ready": "False: ContainersNotReady"}
    assert [(each.of, each.reason, each.count, each.warning) for each in found.events] == [
        ("job", "SuccessfulCreate", 1, False),
        ("pod", "Failed", 4, True),
    ]
    assert (found.located, found.phases) == ({"pod": "p-x1", "node": "n1"}, Phases(scheduled=AT))


def test_events_of_one_second_are_told_in_the_order_they_were_seen() -> None:
    scheduled = event("Scheduled", None, eventTime="2026-11-26T04:02:56.930000Z") | {"metadata": {"name": "p-x1.17abc0"}}
    pulled = event("Pulled", lastTimestamp=since(56)) | {"metadata": {"name": "p-x1.17abc9"}}
    assert [each.reason for each in description(None, pod(), [pulled, scheduled]).events] == ["Scheduled", "Pulled"]


def test_what_is_not_there_is_described_as_such() -> None:
    assert description(None, None, []).state == "not there"
    assert description({"spec": {"suspend": True}}, None, []).why == "its Job is suspended: a queue holds it back"


def test_commands_name_the_cluster_that_is_configured_and_can_be_pasted() -> None:
    configured = KubernetesSettings(kubeconfig="/my files/kube", context="staging")
    assert commands(configured, "jobs", "j", "p")[0] == (
        "kubectl --kubeconfig '/my files/kube' --context staging -n jobs describe pod/p"
    )
    assert commands(KubernetesSettings(), "jobs", "j", "") == ("kubectl -n jobs describe job/j",)

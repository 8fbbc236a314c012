"""Pods on nodes that fall silent, as the API server shows them: nothing but the pod itself may be looked at."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes import follower
from klassd.workflows.executors.kubernetes.api import Api
from klassd.workflows.executors.kubernetes.executor import KubernetesExecutor
from klassd.workflows.executors.kubernetes.follower import Follower
from klassd.workflows.executors.kubernetes.names import EXECUTION, NONCE
from klassd.workflows.executors.kubernetes.sight import OVERDUE, explanation, unknown_since
from klassd.workflows.executors.kubernetes.timestamps import seconds
from klassd.workflows.executors.kubernetes.turns import Turns
from klassd.workflows.executors.kubernetes.view import Known, View
from klassd.workflows.frames import encode
from klassd.workflows.model.execution import Finished, Located, Reached, Started, Told, Unknown
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.rules.lifecycle import verdict

ID = "0tj3v4k7q2m9x8w5y6zb-0-0-1"
KEY = "0123456789abcdef" * 2
BEFORE, AT, LATER, EVICTED_AT = (f"2026-01-02T03:{each}:00Z" for each in ("00", "10", "12", "15"))
NOW = seconds("2026-01-02T03:30:00Z")


def condition(kind: str, status: str = "True", at: str = BEFORE, **more: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": at, **more}


def pod(*conditions: dict[str, Any], deleted: str = "", state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """What kubelets of 1.20 to 1.34 write of a pod that runs, and ``conditions`` instead of theirs."""
    usual = {each: condition(each) for each in ("Initialized", "Ready", "ContainersReady", "PodScheduled")}
    metadata: dict[str, Any] = {
        "name": "p",
        "uid": "p",
        "resourceVersion": "7",
        "creationTimestamp": BEFORE,
        "annotations": {EXECUTION: ID, NONCE: KEY},
    }
    if deleted:
        metadata |= {"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 15}
    container = {"name": "worker", "ready": True, "started": True, "state": state or {"running": {"startedAt": BEFORE}}}
    return {
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": [{"name": "worker", "image": "shop:1", "resources": {}}]},
        "status": {
            "phase": "Running",
            "conditions": list((usual | {each["type"]: each for each in conditions}).values()),
            "containerStatuses": [container],
            **status,
        },
    }


NOT_READY = condition("Ready", "False", AT)
DISRUPTED = condition(
    "DisruptionTarget",
    at=EVICTED_AT,
    reason="DeletionByTaintManager",
    message="Taint manager: deleting due to NoExecute taint",
)
LOST = {"reason": "NodeLost", "message": "Node n1 which was running pod p is unresponsive"}

SILENT = [
    pytest.param(pod(NOT_READY), AT, id="1.20: the node controller has marked it"),
    pytest.param(pod(NOT_READY, condition("PodReadyToStartContainers")), AT, id="1.29"),
    pytest.param(pod({**NOT_READY, "observedGeneration": 1}), AT, id="1.34"),
    pytest.param(pod(NOT_READY, deleted=EVICTED_AT), AT, id="1.20: and evicted it by its taint"),
    pytest.param(pod(NOT_READY, DISRUPTED, deleted=EVICTED_AT), AT, id="1.26: the same"),
    pytest.param(pod(NOT_READY, deleted=EVICTED_AT, **LOST), AT, id="its end is said to be unknown"),
    pytest.param(pod(condition("Ready", "Unknown", AT), phase="Unknown"), AT, id="phase Unknown"),
    pytest.param(pod(deleted=LATER), LATER, id="deleted, and long past its grace nobody says that it is dead"),
    pytest.param(
        pod(condition("Ready", "False", BEFORE, reason="ContainersNotReady"), deleted=LATER, phase="Pending",
            state={"waiting": {"reason": "ContainerCreating"}}),
        LATER, id="the same, before it ran"),
]  # fmt: skip

KNOWN = [
    pytest.param(pod(), id="it runs"),
    pytest.param(pod(condition("Ready", "False", AT, reason="ContainersNotReady"),
                     condition("ContainersReady", "False", AT, reason="ContainersNotReady")), id="a sidecar is not ready"),
    pytest.param(pod(condition("Ready", "False", AT, reason="ReadinessGatesNotReady")), id="a readiness gate"),
    pytest.param(pod(condition("ContainersReady", "False", AT), NOT_READY), id="not ready, and so are its containers"),
    pytest.param(pod(NOT_READY, state={"terminated": {"exitCode": 0}}), id="its container has ended"),
    pytest.param(pod(NOT_READY, phase="Failed"), id="it has failed"),
    pytest.param(pod(deleted="2026-01-02T03:29:30Z"), id="deleted, and hardly past its grace"),
    pytest.param(pod(deleted="2026-01-02T03:35:00Z"), id="deleted, within its grace"),
]  # fmt: skip


@pytest.mark.fault("E14")
@pytest.mark.parametrize(("shown", "since"), SILENT)
def test_a_pod_whose_node_is_silent_is_told_from_the_pod_alone(shown: dict[str, Any], since: str) -> None:
    assert unknown_since([shown], 0.0, NOW) == seconds(since)
    assert "its node n1 has not answered since 2026-01-02 03:1" in explanation([shown], seconds(since))


@pytest.mark.fault("E13", "E14")
@pytest.mark.parametrize("shown", KNOWN)
def test_what_its_kubelet_says_of_a_pod_is_no_silence(shown: dict[str, Any]) -> None:
    assert unknown_since([shown], 0.0, NOW) is None


def test_a_pod_without_a_node_is_nobodys_to_answer_for() -> None:
    waits = pod(NOT_READY)
    waits["spec"].pop("nodeName")
    assert unknown_since([waits], 0.0, NOW) is None


@pytest.mark.fault("E14")
def test_a_console_that_still_comes_through_is_an_answer() -> None:
    assert unknown_since([pod(NOT_READY)], NOW - 1, NOW) is None
    assert unknown_since([pod(NOT_READY)], NOW - OVERDUE, NOW) == NOW - OVERDUE


@pytest.mark.fault("E14", "E23")
def test_a_second_pod_that_is_known_to_run_is_not_unknown() -> None:
    assert unknown_since([pod(NOT_READY), pod()], 0.0, NOW) is None
    assert unknown_since([pod(NOT_READY), pod(deleted=LATER)], 0.0, NOW) == seconds(LATER)


# -- following --------------------------------------------------------------------------------------------------------


class Node(Api):
    """One pod whose console can be read while its node is ``there``."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = lines
        self.there = True
        self.shown: list[dict[str, Any]] = []

    async def log(self, pod: str, container: str, *, since: str = "", follow: bool) -> AsyncIterator[bytes]:
        for line in self.lines if self.there else ():
            yield line

    async def list(self, path: str, selector: str) -> tuple[list[dict[str, Any]], str]:
        return self.shown, "9"


class Hearing:
    def __init__(self, api: Node) -> None:
        self.view = View(api, "")
        self.known: Known = self.view.hold(ID)
        self.told: list[Told] = []
        self.news = asyncio.Event()
        self.shows(pod())
        self.task = asyncio.create_task(self._hear(Follower(api, self.known, Turns(0.0), ID, "", 0, 1)))

    async def _hear(self, following: Follower) -> None:
        async for batch in following.told():
            self.told += [each for each in batch if not isinstance(each, Located | Reached)]
            self.news.set()

    def shows(self, shown: dict[str, Any]) -> None:
        self.view.put_pods([shown])

    async def until_told(self, kind: type[Told]) -> Told:
        while not (found := [each for each in self.told if isinstance(each, kind)]):
            self.news.clear()
            await self.news.wait()
        self.told.remove(found[0])
        return found[0]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REOPEN", "UNSEEN", "LEAVING"):
        monkeypatch.setattr(follower, name, 0.01)


def ended(code: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": "Completed"}}


@pytest.mark.fault("E14")
def test_a_node_that_falls_silent_and_returns_is_told_and_following_goes_on() -> None:
    async def scenario() -> None:
        hearing = Hearing(Node())
        hearing.shows(pod(NOT_READY))
        lost = await hearing.until_told(Unknown)
        assert isinstance(lost, Unknown) and lost.since == seconds(AT)
        hearing.shows(pod(condition("Ready", at=LATER)))
        assert await hearing.until_told(Unknown) == Unknown(since=None)
        hearing.shows(pod(state=ended(0)))
        await hearing.task
        assert [type(each) for each in hearing.told] == [Finished]

    asyncio.run(scenario())


@pytest.mark.fault("E14")
def test_one_that_was_told_to_end_and_does_not_becomes_unknown_without_another_word() -> None:
    async def scenario() -> None:
        hearing = Hearing(Node())
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - OVERDUE + 1))
        hearing.shows(pod(deleted=ends, phase="Pending", state={"waiting": {"reason": "ContainerCreating"}}))
        lost = await hearing.until_told(Unknown)
        assert isinstance(lost, Unknown) and lost.since == seconds(ends)
        hearing.task.cancel()

    asyncio.run(scenario())


@pytest.mark.fault("E14")
def test_an_end_that_it_told_itself_needs_no_node_to_confirm_it() -> None:
    stamp = b"2026-01-02T03:04:05.000000001Z "
    frames = [
        stamp + encode(KEY, 0, "start", 1, b'{"pid":1}'),
        stamp + encode(KEY, 1, "end", 2, b'{"result":"success","exit_code":0}'),
    ]

    async def scenario() -> None:
        api = Node(b"".join(frames))
        hearing = Hearing(api)
        await hearing.until_told(Started)
        api.there = False
        hearing.known.heard = 1.0  # long ago
        hearing.shows(pod(NOT_READY))
        finished = await hearing.until_told(Finished)
        assert isinstance(finished, Finished)
        assert verdict(finished, False).status is ExecutionStatus.SUCCEEDED

    asyncio.run(scenario())


@pytest.mark.fault("E14")
def test_before_anything_is_given_up_the_api_is_asked_and_not_the_watch() -> None:
    async def scenario() -> None:
        api = Node()
        executor = KubernetesExecutor()
        executor._api = api
        executor._view = view = View(api, "")
        view.put_pods([pod(NOT_READY)])
        api.shown = [pod(NOT_READY)]
        assert await executor.unknown_since(ID) == seconds(AT)
        api.shown = [pod(condition("Ready", at=LATER))]
        assert await executor.unknown_since(ID) is None
        known = view.find(ID)
        assert known and known.unknown(NOW) == Unknown(since=None)
        api.shown = []
        assert await executor.unknown_since(ID) is None

    asyncio.run(scenario())


def test_what_the_view_keeps_of_a_pod_is_enough() -> None:
    view = View(Node(), "")
    shown = pod(NOT_READY)
    view.put_pods([copy.deepcopy(shown)])
    known = view.find(ID)
    assert known and known.unknown(NOW).since == seconds(AT)

"""What must end by itself, and when: decided from what the cluster shows."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes.guard import _due
from klassd.workflows.executors.kubernetes.names import NOT_READY, START_DEADLINE, TIMED_OUT, TOO_LATE
from klassd.workflows.executors.kubernetes.view import Known, _job, _pod

NOW = 1_900_000_000.0


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat().replace("+00:00", "Z")


def known(annotations: dict[str, str], *, suspend: bool = False, let_go: float | None = None, **pod: Any) -> Known:
    """A Job made 100 s ago. ``let_go``: when its controller began with it; ``pod``: the status of its pod, if there is one."""
    found = Known()
    metadata = {"name": "job", "uid": "1", "creationTimestamp": stamp(-100), "annotations": annotations}
    status = {} if let_go is None else {"startTime": stamp(let_go)}
    found.job = _job({"metadata": metadata, "spec": {"suspend": suspend, "parallelism": 1}, "status": status})
    if pod:
        metadata = {"name": "pod", "uid": "2", "creationTimestamp": stamp(-100), "annotations": annotations}
        found.put_pod(_pod({"metadata": metadata, "spec": {"containers": [{"name": "worker"}]}, "status": pod}))
    return found


def running(began: float, *conditions: dict[str, Any]) -> dict[str, Any]:
    state = {"running": {"startedAt": stamp(began)}}
    return {"phase": "Running", "conditions": list(conditions), "containerStatuses": [{"name": "worker", "state": state}]}


def unready(since: float) -> dict[str, Any]:
    return {"type": "Ready", "status": "False", "lastTransitionTime": stamp(since)}


@pytest.mark.fault("E27")
def test_the_time_to_start_in_begins_when_no_queue_holds_its_job_back_any_more() -> None:
    deadline = {START_DEADLINE: "60"}
    assert _due(known(deadline)) == (-40.0, TOO_LATE)
    assert _due(known(deadline, let_go=-100.0)) == (-40.0, TOO_LATE)
    assert _due(known(deadline, suspend=True)) is None
    assert _due(known(deadline, let_go=-10.0)) == (50.0, TOO_LATE)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((unready(-30),), (20.0, NOT_READY)),
        ((unready(-1),), (40.0, TIMED_OUT)),
        (({"type": "Ready", "status": "True", "lastTransitionTime": stamp(-5)},), (40.0, TIMED_OUT)),
    ],
    ids=["never ready", "once ready", "ready"],
)
def test_an_image_ends_by_the_earlier_of_its_timeout_and_of_the_time_to_be_ready_in(
    conditions: tuple[dict[str, Any], ...], expected: tuple[float, str]
) -> None:
    limits = {"klassd.dev/timeout": "60", "klassd.dev/ready-within": "40"}
    assert _due(known(limits, **running(-20.0, *conditions))) == expected

"""What a follower tells that its execution waits for, when Job and events speak of the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes import follower
from klassd.workflows.executors.kubernetes.api import Api
from klassd.workflows.executors.kubernetes.follower import Follower
from klassd.workflows.executors.kubernetes.turns import Turns
from klassd.workflows.executors.kubernetes.view import Known
from klassd.workflows.model.execution import Waiting

LOOKS = 4  # at the events


class Refusing(Api):
    """The pods of its Job are refused: each look finds one more try, with another name."""

    def __init__(self) -> None:
        self.looks, self.over = 0, asyncio.Event()

    async def events(self, name: str) -> list[dict[str, Any]]:
        self.looks += 1
        if self.looks > LOOKS:
            self.over.set()
            await asyncio.Event().wait()
        message = f"pods x-{min(self.looks, 2)} is forbidden: exceeded quota"
        return [{"type": "Normal", "message": "hello"}, {"type": "Warning", "message": message}]


@pytest.mark.fault("E6")
def test_why_its_pod_is_refused_is_not_taken_back_by_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PODLESS", 0.001)

    async def reasons() -> list[str]:
        api, known, told = Refusing(), Known(), list[str]()
        known.job = {"metadata": {"name": "j"}, "spec": {}, "status": {"conditions": ()}}

        async def follow() -> None:
            async for batch in Follower(api, known, Turns(0.0), "r-0-0-1", "", 0, 1).told():
                told.extend(each.why for each in batch if isinstance(each, Waiting))

        task = asyncio.create_task(follow())
        await asyncio.wait_for(api.over.wait(), 10)
        task.cancel()
        return told

    refused = [f"pods x-{number} is forbidden: exceeded quota" for number in (1, 2)]
    assert asyncio.run(reasons()) == ["there is no pod yet", *refused]


class Silent(Api):
    def __init__(self) -> None:
        return

    def log(self, *_: object, **__: object) -> Any:
        raise AssertionError("the console of a container that never ran was asked for")


def test_nobody_asks_for_the_console_of_a_container_that_never_ran() -> None:
    known = Known()
    init = [{"name": "fetch", "state": {"terminated": {"exitCode": 127, "reason": "Error"}}}]
    known.put_pod({
        "metadata": {"name": "p", "uid": "p", "creationTimestamp": "1"},
        "spec": {"containers": [{"name": "worker"}]},
        "status": {"phase": "Failed", "initContainerStatuses": init},
    })  # fmt: skip

    async def told() -> list[Any]:
        return [each async for batch in Follower(Silent(), known, Turns(0.0), "r-0-0-1", "", 0, 1).told() for each in batch]

    assert "'fetch' failed with exit code 127" in asyncio.run(told())[-1].exit.message

"""The watches, on an API that breaks off, repeats itself and forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes import view
from klassd.workflows.executors.kubernetes.api import JOBS, PODS, Api, ApiError, Unavailable
from klassd.workflows.executors.kubernetes.names import EXECUTION
from klassd.workflows.executors.kubernetes.view import View

ID = "0tj3v4k7q2m9x8w5y6zb-0-0-1"


def pod(phase: str, version: int) -> dict[str, Any]:
    metadata = {"name": "p", "uid": "p", "resourceVersion": str(version), "annotations": {EXECUTION: ID}}
    return {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": phase}}


class Broken(Api):
    """Each watch of pods is a list of events and of errors to raise; lists say what stands in ``pods``."""

    def __init__(self, *watches: list[Any]) -> None:
        self.pods: list[dict[str, Any]] = []
        self.versions: list[str] = []  # that watches began from
        self.lists = 0
        self._watches = list(watches)
        self.over = asyncio.Event()

    async def list(self, path: str, selector: str) -> tuple[list[dict[str, Any]], str]:
        if path == JOBS:
            return [], "1"
        self.lists += 1
        return self.pods, f"list {self.lists}"

    async def watch(self, path: str, selector: str, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        if path == PODS:
            self.versions.append(version)
            for each in self._watches.pop(0) if self._watches else ():
                if isinstance(each, Exception):
                    raise each
                yield each
        if path == JOBS or not self._watches:
            if path == PODS:
                self.over.set()
            await asyncio.Event().wait()


async def watched(api: Broken) -> View:
    found = View(api, "")
    found.start()
    async with asyncio.timeout(10):
        await api.over.wait()
    await asyncio.sleep(0)
    await found.close()
    return found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "RETRY", 0.0)
    monkeypatch.setattr(view, "SHORT", 0.0)


TOO_OLD = ApiError(410, "Expired", "too old resource version")


@pytest.mark.fault("E1")
def test_a_watch_that_has_lost_the_thread_lists_again_even_twice_in_a_row() -> None:
    async def scenario() -> None:
        api = Broken([TOO_OLD], [TOO_OLD], [("ADDED", pod("Running", 7))], [])
        found = await watched(api)
        assert api.versions == ["list 1", "list 2", "list 3", "7"]
        known = found.find(ID)
        assert known and known.pods["p"]["status"]["phase"] == "Running"

    asyncio.run(scenario())


@pytest.mark.fault("E2", "E4")
def test_what_was_deleted_while_nobody_watched_is_gone_with_the_next_list() -> None:
    async def scenario() -> None:
        api = Broken([("ADDED", pod("Running", 7)), Unavailable("nobody answers")], [])
        found = View(api, "")
        known = found.hold(ID)
        found.start()
        await api.over.wait()
        await found.close()
        assert known.pods == {} and known.last is not None

    asyncio.run(scenario())


@pytest.mark.fault("E3")
def test_events_that_come_twice_change_nothing() -> None:
    async def scenario() -> None:
        one, two = ("ADDED", pod("Running", 7)), ("MODIFIED", pod("Succeeded", 8))
        api = Broken([one, one, two, two], [two], [])
        found = await watched(api)
        known = found.find(ID)
        assert known and known.pods["p"]["status"]["phase"] == "Succeeded" and len(found) == 1

    asyncio.run(scenario())


def test_what_is_gone_and_followed_by_nobody_takes_no_memory() -> None:
    async def scenario() -> None:
        api = Broken([("ADDED", pod("Running", 7)), ("DELETED", pod("Running", 8))], [])
        assert len(await watched(api)) == 0

    asyncio.run(scenario())


def strange() -> dict[str, Any]:
    """Somebody else's, with our label, and no name of an execution."""
    return {"metadata": {"name": "s", "uid": "s", "resourceVersion": "6", "labels": {}}, "spec": {}, "status": {}}


def test_an_event_that_nobody_understands_is_reported_and_the_watch_goes_on_with_a_new_list(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        api = Broken([("ADDED", strange())], [("ADDED", pod("Running", 7))], [])
        found = await watched(api)
        assert api.versions == ["list 1", "list 2", "7"]
        assert found.find(ID)

    asyncio.run(scenario())
    assert "pods: watching again in 0 s after an error of ours" in caplog.text and "KeyError" in caplog.text


def test_an_object_that_nobody_understands_hides_no_other_of_its_list(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        api = Broken([])
        api.pods = [strange(), pod("Running", 7)]
        found = await watched(api)
        assert found.find(ID)

    asyncio.run(scenario())
    assert "pods: s is left out" in caplog.text

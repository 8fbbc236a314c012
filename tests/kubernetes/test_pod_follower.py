"""What a follower does between the end of a container and the telling of it, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes.api import Api
from klassd.workflows.executors.kubernetes.follower import PODLESS, TAIL, Follower
from klassd.workflows.executors.kubernetes.names import EXECUTION, NONCE
from klassd.workflows.executors.kubernetes.turns import Turns
from klassd.workflows.executors.kubernetes.view import Known
from klassd.workflows.frames import encode
from klassd.workflows.model.execution import Finished, Output, Told, Waiting
from klassd.workflows.stores.common import chunk_end
from klassd.workflows.testing.clock import run_virtual

ID, KEY = "0tj3v4k7q2m9x8w5y6zb-0-0-1", "0123456789abcdef" * 2
LINE = encode(KEY, 0, "out", 1, b'{"l":1,"n":1,"x":"a line\\n"}')
END = encode(KEY, 1, "end", 2, b'{"result":"success","lines":1}')


class Late(Api):
    """A console of which each look shows a frame more."""

    def __init__(self, *frames: bytes) -> None:
        self._frames = frames
        self.looks = 0

    async def log(self, pod: str, container: str, *, since: str = "", follow: bool) -> AsyncGenerator[bytes, None]:
        self.looks += 1
        for frame in self._frames[: self.looks]:
            yield b"2026-01-02T03:04:05.000000001Z " + frame


def ended() -> Known:
    metadata: dict[str, Any] = {"name": "p", "uid": "p", "annotations": {EXECUTION: ID, NONCE: KEY}}
    status = {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "worker", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
    }
    known = Known()
    known.put_pod({"metadata": metadata, "spec": {"containers": []}, "status": status})
    return known


async def told(api: Api) -> tuple[list[Told], float]:
    """All of it, and how long it took."""
    batches = [batch async for batch in Follower(api, ended(), Turns(0.0), ID, "", 0, 1).told()]
    return [each for batch in batches for each in batch], asyncio.get_running_loop().time()


@pytest.mark.parametrize(("frames", "looks"), [([LINE + b"2026-01-02T03:04:05.000000001Z " + END], 1), ([LINE, END], 2)])
def test_an_end_is_told_as_soon_as_it_stands_in_the_console(frames: list[bytes], looks: int) -> None:
    api = Late(*frames)
    heard, seconds = run_virtual(told(api))
    assert isinstance(heard[-1], Finished) and heard[-1].end and heard[-1].end.result == "success"
    assert (api.looks, seconds) == (looks, pytest.approx((looks - 1) * TAIL))


def test_a_console_with_bars_between_its_lines_is_resumed_without_a_repeat() -> None:
    """All of it in one second, so that the times by which it is read again do not tell them apart."""
    bar = encode(KEY, 1, "prog", 2, b'{"b":{"":{"at":1,"of":2}}}')
    more = encode(KEY, 2, "out", 3, b'{"l":2,"n":1,"x":"another\\n"}')
    end = encode(KEY, 3, "end", 4, b'{"result":"success","lines":2}')
    console = Late(b"2026-01-02T03:04:05.000000001Z ".join([LINE, bar, more, end]))

    async def check() -> None:
        first = [each async for batch in Follower(console, ended(), Turns(0.0), ID, "", 0, 1).told() for each in batch]
        (chunk,) = [each.chunk for each in first if isinstance(each, Output)]
        again = Follower(console, ended(), Turns(0.0), ID, *chunk_end(chunk))
        rest = [each async for batch in again.told() for each in batch]
        assert isinstance(rest[-1], Finished) and not [each for each in rest if isinstance(each, Output)]

    run_virtual(check())


class Full(Api):
    """A quota is full: Jobs stay without pods, and their events say why."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []

    async def events(self, name: str) -> list[dict[str, Any]]:
        self.asked.append((asyncio.get_running_loop().time(), name))
        return [{"type": "Warning", "message": "exceeded quota: full"}]


def podless() -> Known:
    known = Known()
    known.job = {"metadata": {"name": "j", "uid": "j"}, "spec": {"parallelism": 1}, "status": {"conditions": ()}}
    return known


async def first_words(api: Api, known: Known, asking: Turns, name: str) -> list[str]:
    said = []
    async for batch in Follower(api, known, asking, name, "", 0, 1).told():
        said += [each.why for each in batch if isinstance(each, Waiting)]
        if len(said) == 2:
            break
    return said


@pytest.mark.fault("E6")
def test_a_thousand_jobs_without_a_pod_cost_four_requests_a_second_and_each_has_its_turn() -> None:
    api = Full()

    async def check() -> list[list[str]]:
        asking = Turns(0.25)
        return await asyncio.gather(*(first_words(api, podless(), asking, f"e{number}") for number in range(1000)))

    said = run_virtual(check())
    assert said == [["there is no pod yet", "exceeded quota: full"]] * 1000
    times = [time for time, _ in api.asked]
    assert len(times) == 1000 and times[0] == pytest.approx(PODLESS)
    assert all(later - earlier >= 0.249 for earlier, later in itertools.pairwise(times))


def test_a_pod_that_appears_while_others_ask_is_seen_at_once() -> None:
    async def check() -> float:
        asking, known = Turns(100.0), podless()
        for _ in range(10):
            asking.take()

        async def appear() -> None:
            await asyncio.sleep(PODLESS + 1)
            known.put_pod(ended().last or {})
            known.tell()

        task = asyncio.create_task(appear())
        async for _ in Follower(Late(LINE + b"2026-01-02T03:04:05.000000001Z " + END), known, asking, ID, "", 0, 1).told():
            pass
        await task
        return asyncio.get_running_loop().time()

    assert run_virtual(check()) == pytest.approx(PODLESS + 1)


class Ahead(Late):
    """The Job's failure is known already, and its pod only to whoever asks."""

    def __init__(self, known: Known) -> None:
        super().__init__(LINE + b"2026-01-02T03:04:05.000000001Z " + END)
        self._known = known

    async def list(self, path: str, selector: str) -> tuple[list[dict[str, Any]], str]:
        pod = ended().last
        assert pod is not None
        asyncio.get_running_loop().call_later(1.0, self._show, pod)
        return [dict(pod)], "1"

    def _show(self, pod: Any) -> None:
        self._known.put_pod(pod)
        self._known.tell()


def test_a_job_that_failed_before_its_pod_was_seen_is_not_lost_while_the_pod_is_there() -> None:
    """Its sidecar failed, and the watch of Jobs was quicker."""
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    known = podless()
    metadata = {"name": "j", "uid": "j", "annotations": {NONCE: KEY}}
    known.job = {"metadata": metadata, "spec": {"parallelism": 1}, "status": {"conditions": [failed]}}

    async def check() -> None:
        batches = [batch async for batch in Follower(Ahead(known), known, Turns(0.0), ID, "", 0, 1).told()]
        last = batches[-1][-1]
        assert isinstance(last, Finished) and last.end and last.end.result == "success"

    run_virtual(check())

"""What a follower does between the end of a container and the telling of it, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes.api import Api
from klassd.workflows.executors.kubernetes.follower import TAIL, Follower
from klassd.workflows.executors.kubernetes.names import EXECUTION, NONCE
from klassd.workflows.executors.kubernetes.view import Known
from klassd.workflows.frames import encode
from klassd.workflows.model.execution import Finished, Told
from klassd.workflows.testing.clock import run_virtual

ID, KEY = "0tj3v4k7q2m9x8w5y6zb-0-0-1", "0123456789abcdef" * 2
LINE = encode(KEY, 0, "out", 1, b'{"l":1,"n":1,"x":"a line\\n"}')
END = encode(KEY, 1, "end", 2, b'{"result":"success","lines":1}')


class Late(Api):
    """A console of which each look shows a frame more."""

    def __init__(self, *frames: bytes) -> None:
        self._frames = frames
        self.looks = 0

    async def log(self, pod: str, container: str, *, since: str = "", follow: bool) -> AsyncIterator[bytes]:
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
    batches = [batch async for batch in Follower(api, ended(), ID, "", 0, 1).told()]
    return [each for batch in batches for each in batch], asyncio.get_running_loop().time()


@pytest.mark.parametrize(("frames", "looks"), [([LINE + b"2026-01-02T03:04:05.000000001Z " + END], 1), ([LINE, END], 2)])
def test_an_end_is_told_as_soon_as_it_stands_in_the_console(frames: list[bytes], looks: int) -> None:
    api = Late(*frames)
    heard, seconds = run_virtual(told(api))
    assert isinstance(heard[-1], Finished) and heard[-1].end and heard[-1].end.result == "success"
    assert (api.looks, seconds) == (looks, pytest.approx((looks - 1) * TAIL))

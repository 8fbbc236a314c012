"""``POST /api/v1/executions/ID/start``: who gets a start, and what a stranger gets."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from test_serving import on_a_loop, said

from klassd.workflows.composition import make_server
from klassd.workflows.errors import StoreError
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, Run, execution_id, hash_token
from klassd.workflows.model.states import ExecutionStatus, StartAnswer
from klassd.workflows.ports import NewRun
from klassd.workflows.server import starts
from klassd.workflows.stores.memory import MemoryStore

RUN, TOKEN = "r" * 20, "ab" * 32
EXECUTION = execution_id(RUN, 0, 0, 1)
POD = {"pod": "klassd-x-abcde", "uid": "0a-1b", "process": "ff" * 16}


async def starting(store: MemoryStore) -> MemoryStore:
    """With one execution that may be started."""
    await store.enqueue([NewRun(run=Run(id=RUN, name="n", kind="job", definition="d"), definition=b"{}")])
    await store.renew("one", 60.0)
    await store.claim_runs("one", 1, 1e12)
    hashes = (hash_token(TOKEN),)
    row = Execution(id=EXECUTION, run_id=RUN, node="n", status=ExecutionStatus.STARTING, token_hashes=hashes)
    await store.commit([Change(run_id=RUN, epoch=1, started=(row,))])
    return store


def request(body: Any = POD, token: str = TOKEN, id_: str = EXECUTION, **more: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Host": "x", "Connection": "close", "Content-Length": str(len(content)), **more}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /api/v1/executions/{id_}/start HTTP/1.1\r\n{lines}\r\n".encode() + content


async def answers(*requests: bytes, store: MemoryStore | None = None) -> list[tuple[int, str]]:
    server, _ = make_server(store or await starting(MemoryStore()), "127.0.0.1", 0)
    async with server:
        given = [await said(int(server.url.rpartition(":")[2]), each) for each in requests]
    return [(status, body.decode()) for status, body in given]


@pytest.mark.fault("E23")
@on_a_loop
async def test_the_first_process_gets_the_start_and_may_ask_again_and_no_other_gets_it() -> None:
    others = [POD | {"process": "00"}, POD | {"uid": "another"}, POD | {"pod": "another"}]
    found = await answers(request(), request(), *map(request, others), request())
    assert [status for status, _ in found] == [200, 200, 409, 409, 409, 200]
    assert json.loads(found[0][1]) == {"answer": "granted"} and json.loads(found[2][1]) == {"answer": "taken"}


@on_a_loop
async def test_a_stranger_learns_neither_which_executions_there_are_nor_whose_token_it_is() -> None:
    found = await answers(request(token="cd" * 32), request(id_=execution_id(RUN, 0, 0, 2)), request(id_="no-such-thing"))
    assert found == [(403, '{"answer":"unknown"}')] * 3


@on_a_loop
async def test_without_a_bearer_token_nothing_is_looked_at() -> None:
    basic = request(token="").replace(b"Host: x", b"Host: x\r\nAuthorization: Basic abc")
    assert [status for status, _ in await answers(request(token=""), basic)] == [401, 401]


@on_a_loop
async def test_what_is_over_or_to_be_stopped_is_not_started() -> None:
    store = await starting(MemoryStore())
    stop = ExecutionPatch(id=EXECUTION, node="n", index=0, attempt=1, status=ExecutionStatus.STOPPING)
    await store.commit([Change(run_id=RUN, epoch=1, updated=(stop,))])
    assert await answers(request(), store=store) == [(410, '{"answer":"over"}')]


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", {"pod": "p"}, POD | {"pod": "a\nb"}, POD | {"uid": ""}])
def test_a_body_that_says_not_who_asks_is_refused(body: Any) -> None:
    ((status, text),) = asyncio.run(answers(request(body)))
    assert status == 400 and "expected" in text


@on_a_loop
async def test_a_body_without_end_is_not_taken_in() -> None:
    large = request(b"x" * (starts.BODY + 1))
    lying = request(b"x" * (starts.BODY + 1), **{"Content-Length": "99999999"})
    assert [status for status, _ in await answers(large, lying)] == [413, 413]


@on_a_loop
async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "ARRIVES", 0.05)
    assert [status for status, _ in await answers(request()[:-1])] == [408]


class Away(MemoryStore):
    def __init__(self, *, answers_late: bool) -> None:
        super().__init__()
        self._late = answers_late

    async def start_claim(self, *given: str) -> StartAnswer:
        if not self._late:
            raise StoreError("postgres://user:secret@db is gone")
        return await asyncio.Event().wait() and StartAnswer.GRANTED


@pytest.mark.parametrize("answers_late", [False, True])
def test_a_store_that_does_not_answer_is_told_as_come_again_and_nothing_else(
    answers_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "PATIENCE", 0.05)
    assert asyncio.run(answers(request(), store=Away(answers_late=answers_late))) == [(503, "the store does not answer")]


@on_a_loop
async def test_a_refused_pod_is_told_in_the_log_and_a_token_never_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await answers(request(), request(POD | {"pod": "klassd-x-second"}), request(token="cd" * 32))
    assert f"execution {EXECUTION}: pod klassd-x-second asks for its start, which another has" in caplog.text
    assert TOKEN not in caplog.text and "cdcd" not in caplog.text


@on_a_loop
async def test_only_a_post_starts_anything() -> None:
    found = await answers(*[request().replace(b"POST", method) for method in (b"GET", b"PUT", b"DELETE")])
    assert [status for status, _ in found] == [405, 405, 405]

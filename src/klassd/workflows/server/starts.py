"""``POST /api/v1/executions/ID/start``: a worker claims the start of its execution, before anything of the user's is imported.

    Authorization: Bearer TOKEN          the execution's own secret
    {"pod": name, "uid": ..., "process": random text of the process that asks}

200: start. 409: another has. 410: it is over, or is to be. 403: no such execution, or none of its secrets. 503: ask again; the
answer to the same process stays the same.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from klassd.workflows.crashes import mark
from klassd.workflows.errors import StoreError
from klassd.workflows.model.run import hash_token
from klassd.workflows.model.states import StartAnswer
from klassd.workflows.ports import Store

log = logging.getLogger("klassd.workflows")

BODY = 4096  # bytes
ARRIVES = 10.0  # seconds for the body to come
PATIENCE = 8.0  # seconds for the store, less than a worker waits for the answer

_STATUS = {StartAnswer.GRANTED: 200, StartAnswer.TAKEN: 409, StartAnswer.OVER: 410, StartAnswer.UNKNOWN: 403}
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._-]+$")]


class Asker(msgspec.Struct, frozen=True):
    pod: _Name
    uid: _Name
    process: _Name

    @property
    def name(self) -> str:
        """One process of one pod: a second one in the same pod is another, and gets no second start."""
        return f"{self.pod}/{self.uid}/{self.process}"


class Starts:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def answer(self, request: Request) -> Response:
        token = _bearer(request)
        asker = await _asker(request)
        execution_id: str = request.path_params["execution_id"]
        answer = await self._claim(execution_id, hash_token(token), asker.name)
        if answer is StartAnswer.TAKEN:
            log.warning("execution %s: pod %s asks for its start, which another has; it is refused", execution_id, asker.pod)
        return JSONResponse({"answer": answer}, _STATUS[answer])

    async def _claim(self, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
        try:
            async with asyncio.timeout(PATIENCE):
                mark("before:grant")
                answer = await self._store.start_claim(execution_id, token_hash, started_by)
                mark("after:grant")
                return answer
        except (StoreError, TimeoutError):
            raise HTTPException(503, "the store does not answer", {"Retry-After": "1"}) from None


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise HTTPException(401, "expected the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
    return token


async def _asker(request: Request) -> Asker:
    try:
        async with asyncio.timeout(ARRIVES):
            body = await _body(request)
        return msgspec.json.decode(body, type=Asker)
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(408, f"the body did not come within {ARRIVES:g} s") from None
    except msgspec.MsgspecError as error:
        raise HTTPException(400, f'expected {{"pod": ..., "uid": ..., "process": ...}}: {error}') from None


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY:
            raise HTTPException(413, f"expected a body of at most {BODY} bytes")
    return body

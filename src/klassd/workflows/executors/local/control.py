"""One connection to one template: orders go out, news of its executions come in. A JSON value a line, see ``worker``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from klassd.workflows.order import Order


class Hello(msgspec.Struct, frozen=True, tag_field="op", tag="hello"):
    pid: int
    start: int
    boot: str
    fork: bool = True
    reason: str = ""
    live: tuple[str, ...] = ()


class Launched(msgspec.Struct, frozen=True, tag_field="op", tag="launched"):
    id: str


class Refused(msgspec.Struct, frozen=True, tag_field="op", tag="refused"):
    id: str
    why: str  # "exists", "expired", "stale", "resources", "unsafe"
    message: str = ""


class Grew(msgspec.Struct, frozen=True, tag_field="op", tag="grew"):
    id: str


class Ended(msgspec.Struct, frozen=True, tag_field="op", tag="ended"):
    id: str


ANSWER = 10.0  # seconds a template has to answer; it may be stopped, or stuck

_decode = msgspec.json.Decoder(Hello | Launched | Refused | Grew | Ended).decode
_encode = msgspec.json.Encoder().encode


class Link(asyncio.Protocol):
    """``routes`` is shared by all links: which of them hears of an execution. ``wake`` is called with the id of an execution
    that has news, ``lost`` once when the connection has ended."""

    def __init__(self, routes: dict[str, Link], wake: Callable[[str], None], lost: Callable[[Link], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._routes, self._wake, self._lost = routes, wake, lost
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._unsent: list[bytes] = []
        self._answers: dict[str, asyncio.Future[Launched | Refused]] = {}
        self._watchdog: asyncio.TimerHandle | None = None
        self.hello: asyncio.Future[Hello] = self._loop.create_future()
        self.live: set[str] = set()
        self.used_at = self._loop.time()
        self.open = True

    # -- what a scheduler says ----------------------------------------------------------------------------------

    async def launch(self, order: Order) -> Launched | Refused:
        """Raises ConnectionError when the template goes away before it answers, or does not answer."""
        answer = self._answers.get(order.execution_id)
        if answer is None:
            self._send(b'{"op":"launch","order":%b}\n' % order.encoded())
            answer = self._answers[order.execution_id] = self._loop.create_future()
            self._watch()
        self.used_at = self._loop.time()
        return await asyncio.shield(answer)

    def stop(self, execution_id: str, grace: float) -> None:
        self._send(_encode({"op": "stop", "id": execution_id, "grace": grace}) + b"\n")

    def retire(self) -> None:
        self._send(b'{"op":"retire"}\n')

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _send(self, line: bytes) -> None:
        """Everything said in one turn of the loop goes out in one call to the system."""
        if not self.open:
            raise ConnectionResetError("it has gone away")
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(line)

    def _flush(self) -> None:
        lines, self._unsent = self._unsent, []
        if self._transport and self.open:
            self._transport.write(b"".join(lines))

    # -- what a template says -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        lines = (self._received + data).split(b"\n")
        self._received = lines.pop()
        for line in lines:
            try:
                said = _decode(line)
            except msgspec.DecodeError:  # a later version has more to say
                continue
            self._hear(said)

    def _hear(self, said: Hello | Launched | Refused | Grew | Ended) -> None:
        if isinstance(said, Grew):
            self._wake(said.id)
        elif isinstance(said, Ended):
            self._forget(said.id)
        elif isinstance(said, Hello):
            for execution_id in said.live:
                self._hear_of(execution_id)
            if not self.hello.done():
                self.hello.set_result(said)
        else:
            if isinstance(said, Launched):
                self._hear_of(said.id)
            if (answer := self._answers.pop(said.id, None)) and not answer.done():
                answer.set_result(said)

    def _hear_of(self, execution_id: str) -> None:
        self.live.add(execution_id)
        self._routes[execution_id] = self

    def _forget(self, execution_id: str) -> None:
        self.live.discard(execution_id)
        if self._routes.get(execution_id) is self:
            del self._routes[execution_id]
        self._wake(execution_id)

    # -- the end of it ------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """One timer for all that is asked: that of the oldest question."""
        if self._answers and self._watchdog is None:
            oldest = next(iter(self._answers.values()))
            self._watchdog = self._loop.call_later(ANSWER, self._look, oldest)

    def _look(self, oldest: asyncio.Future[Launched | Refused]) -> None:
        self._watchdog = None
        if not oldest.done():
            self._give_up("it does not answer")
        self._watch()

    def _give_up(self, why: str) -> None:
        futures: list[asyncio.Future[Any]] = [self.hello, *self._answers.values()]
        for future in futures:
            if not future.done():
                future.set_exception(ConnectionResetError(why))
                future.exception()  # heard of, even where nobody waits any more
        self._answers.clear()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._watchdog:
            self._watchdog.cancel()
        self._give_up("it has gone away")
        for execution_id in list(self.live):
            self._forget(execution_id)
        self._lost(self)


async def connect(path: str, make: Callable[[], Link]) -> Link:
    """A link that has heard the template's hello. Raises OSError where nobody answers."""
    _, link = await asyncio.get_running_loop().create_unix_connection(make, path)
    try:
        await asyncio.shield(link.hello)
    except BaseException:
        link.close()
        raise
    return link

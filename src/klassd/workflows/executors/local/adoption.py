"""Whether an execution's supervisor still has it; and a link to that supervisor, where another scheduler started it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from klassd.workflows.executors.local import identity
from klassd.workflows.executors.local.control import Link, connect
from klassd.workflows.executors.local.spool import Spool

HANDSHAKE = 5.0  # seconds a template has to say hello; it may be stopped
AGAIN = 2.0  # seconds before a socket that did not answer is tried again


class Adoption:
    """``routes``: which link reports on an execution; see ``control.Link``."""

    def __init__(self, routes: dict[str, Link], make: Callable[[], Link]) -> None:
        self._routes, self._make = routes, make
        self._links: dict[str, Link] = {}  # by socket
        self._silent: dict[str, float] = {}  # sockets that did not answer, and when

    async def lives(self, spool: Spool) -> bool:
        """True as well where its supervisor is alive and does not answer."""
        if spool.execution_id in self._routes:
            return True
        if not supervised(spool):
            return False
        assert spool.hello
        if not spool.hello.sock:
            return True
        # Always asked anew: what an older connection has not said yet may be under way.
        return not await self._ask(spool.hello.sock) or spool.execution_id in self._routes

    async def _ask(self, path: str) -> bool:
        """Whether the template there said what it has."""
        now = asyncio.get_running_loop().time()
        if now - self._silent.get(path, -AGAIN) < AGAIN:
            return False
        try:
            async with asyncio.timeout(HANDSHAKE):
                link = await connect(path, self._make)
        except (OSError, TimeoutError):
            self._silent[path] = now
            return False
        before, self._links[path] = self._links.get(path), link
        if before:
            before.close()
        return True

    def tidy(self) -> None:
        """Let templates of others go that have nothing running: a connection keeps them from ending."""
        for path, link in list(self._links.items()):
            if not link.live:
                link.close()
                del self._links[path]
        self._silent.clear()

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()


def supervised(spool: Spool) -> bool:
    """Whether the process that started it runs: that very one, not another with its number."""
    hello = spool.hello
    return hello is not None and hello.boot == identity.boot_id() and identity.is_alive(hello.pid, hello.start)

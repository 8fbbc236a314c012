"""One template process per job module: started on first use, replaced when the code changed, retired when idle."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.executors.local.control import Link, connect
from klassd.workflows.executors.local.processes import Child

log = logging.getLogger("klassd.workflows")

START = 10.0  # seconds a launch waits for a new template before it goes its own way
IDLE = 600.0  # seconds without a launch after which a template is one too many
SHUN = 60.0  # seconds before a module that could not be forked gets another chance: its author may have mended it
PATIENCE = 2.0  # seconds that idle templates have to end when the executor closes
PREFIX = "t-"  # of a template's socket


class Templates:
    """``begin``: starts the template process of a module at a socket path. ``make``: a new link. ``sockets``: the directory
    for its socket, made if somebody has tidied it away."""

    def __init__(self, begin: Callable[[str, str], Child], make: Callable[[], Link], sockets: Callable[[], str]) -> None:
        self._begin, self._make, self._sockets = begin, make, sockets
        self._current: dict[str, asyncio.Task[Link]] = {}
        self._children: dict[Link, Child] = {}
        self._shunned: dict[str, float] = {}  # module -> until when
        self._reasons: dict[str, str] = {}

    # -- one for a launch ---------------------------------------------------------------------------------------

    async def ready(self, module: str) -> Link | None:
        """The template of ``module``. None: it cannot be forked from, or not yet; start a process of its own instead.
        Raises ``LaunchRefused`` or ``LaunchDelayed`` when it died while it started."""
        if self._shunned.get(module, 0.0) > asyncio.get_running_loop().time():
            return None
        task = self._current.get(module)
        if task is None:
            task = self._current[module] = asyncio.create_task(self._start(module), name=f"template of {module}")
        if not task.done():
            await asyncio.wait([task], timeout=START)
        if not task.done():
            self._note(module, f"its template did not start within {START:g} s")
            return None
        try:
            link = self._outcome(module, task)
        except ConfigurationError as error:  # there is no place for its socket
            self.shun(module, str(error))
            return None
        if not link.hello.result().fork:
            self.shun(module, link.hello.result().reason)
            return None
        return link

    def _outcome(self, module: str, task: asyncio.Task[Link]) -> Link:
        try:
            return task.result()
        except BaseException:
            self._drop(module, task)
            raise

    async def _start(self, module: str) -> Link:
        path = os.path.join(self._sockets(), PREFIX + secrets.token_hex(8))
        child = self._begin(module, path)
        pause = 0.005
        while not child.exited.done():
            try:
                link = await connect(path, self._make)
            except OSError:  # not listening yet, or gone between its first word and its second
                await asyncio.wait([child.exited], timeout=pause)
                pause = min(pause * 1.2, 0.05)
            else:
                self._children[link] = child
                return link
        raise child.failure(f"the template of {module}")

    def reason(self, module: str) -> str:
        """Why it is not forked."""
        return self._reasons.get(module, "")

    # -- the end of one -----------------------------------------------------------------------------------------

    def replace(self, module: str, link: Link) -> None:
        """No further launch goes to this one; what it has running goes on, and then it ends by itself."""
        for task in self._tasks_of(link):
            self._drop(module, task)
            _retire(link)

    def shun(self, module: str, reason: str) -> None:
        """Do without templates of this module for a while."""
        self._shunned[module] = asyncio.get_running_loop().time() + SHUN
        self._note(module, reason or "its template cannot fork safely")
        task = self._current.get(module)
        if task and _is_ready(task):
            self.replace(module, task.result())

    def lost(self, link: Link) -> None:
        """Its connection has ended."""
        for module in [module for module, task in self._current.items() if task in self._tasks_of(link)]:
            del self._current[module]
        self._children.pop(link, None)

    def last_words(self, link: Link) -> str:
        child = self._children.get(link)
        return child.last_words() if child else ""

    def retire_idle(self) -> None:
        """All but the one used last: a template holds its module's memory."""
        now = asyncio.get_running_loop().time()
        ready = [(task.result(), module) for module, task in self._current.items() if _is_ready(task)]
        for link, module in sorted(ready, key=lambda entry: entry[0].used_at)[:-1]:
            if not link.live and now - link.used_at > IDLE:
                self.replace(module, link)

    async def close(self) -> None:
        """Retire all: those that have nothing running end now, the others after it."""
        starting = [task for task in self._current.values() if not task.done()]
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        idle = [child.exited for link, child in self._children.items() if _retire(link) and not link.live]
        if idle:
            await asyncio.wait(idle, timeout=PATIENCE)
        for link in list(self._children):
            link.close()
        self._current.clear()

    def _tasks_of(self, link: Link) -> list[asyncio.Task[Link]]:
        return [task for task in self._current.values() if _is_ready(task) and task.result() is link]

    def _drop(self, module: str, task: asyncio.Task[Link]) -> None:
        if self._current.get(module) is task:
            del self._current[module]

    def _note(self, module: str, reason: str) -> None:
        if self._reasons.get(module) != reason:
            self._reasons[module] = reason
            log.warning("jobs of %s start a new interpreter each instead of a fork: %s", module, reason)


def _is_ready(task: asyncio.Task[Link]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _retire(link: Link) -> bool:
    if link.open:
        link.retire()
    return link.open

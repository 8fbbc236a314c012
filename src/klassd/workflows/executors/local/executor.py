"""``LocalExecutor``: the verbs of ``ports.Executor``, on processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from signal import SIGKILL, SIGTERM
from typing import Any

from klassd.workflows.crashes import mark
from klassd.workflows.errors import ConfigurationError, LaunchDelayed, LaunchRefused
from klassd.workflows.executors.local import follower, identity
from klassd.workflows.executors.local.adoption import Adoption, supervised
from klassd.workflows.executors.local.containers import Containers
from klassd.workflows.executors.local.control import Launched, Link, Refused
from klassd.workflows.executors.local.describe import description
from klassd.workflows.executors.local.processes import Workers
from klassd.workflows.executors.local.spool import Spool, consoles, end_path, forbid, log_path
from klassd.workflows.executors.local.sweep import sweep
from klassd.workflows.executors.local.templates import Templates
from klassd.workflows.model.description import Description
from klassd.workflows.model.execution import Told
from klassd.workflows.model.run import Execution
from klassd.workflows.order import Order
from klassd.workflows.sockets import socket_dir

log = logging.getLogger("klassd.workflows")

STARTS = ("auto", "fork", "spawn")
TRIES = 3  # templates in a row that were no good from their first order on before a launch goes its own way
CLAIMED = 0.01  # seconds between looks at an execution that is claimed and not started yet
MAINTAIN = 60.0  # seconds
SWEEP = 10  # times MAINTAIN; one look at every file of the spool directory
MARGIN = 2.0  # seconds a supervisor has beyond the grace to kill its job itself, and to say so


class LocalExecutor:
    """``state_dir`` holds consoles under way (``spool/``) and ``worker.log``; schedulers that share it adopt each other's
    executions. ``concurrency``: executions at once, by default twice the processors, at least 4.

    ``start``: "auto" forks each execution from a template process that has imported its module, and starts a new
    interpreter where that is unsafe; "fork" refuses to launch there; "spawn" always starts a new interpreter.

    Jobs get a clean environment: ``env`` names variables they see besides PATH, HOME, the locale, ``KLASSD_JOB_*`` and a
    few others, and what the artifact store takes its credentials from. ``python``: the interpreter of the workers. Not a
    security boundary: jobs run as this process's user.
    """

    def __init__(
        self,
        state_dir: str = ".klassd",
        *,
        concurrency: int | None = None,
        start: str = "auto",
        env: Sequence[str] = (),
        python: str = sys.executable,
    ) -> None:
        if start not in STARTS:
            raise ConfigurationError(f"start is {start!r}: expected one of {', '.join(map(repr, STARTS))}")
        if concurrency is not None and concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}: expected at least 1")
        self._state = os.path.abspath(state_dir)
        self._spools = os.path.join(self._state, "spool")
        self._concurrency = concurrency or max(4, 2 * (os.cpu_count() or 1))
        self._start = start
        self._containers = Containers(os.path.join(self._state, "containers"))
        self._routes: dict[str, Link] = {}
        self._watches = follower.Watches()
        self._workers = Workers(python, tuple(env), self._spools, os.path.join(self._state, "worker.log"))
        self._adoption = Adoption(self._routes, self._link)
        self._kills: dict[str, asyncio.TimerHandle] = {}
        self._templates = Templates(self._workers.template, self._link, self._sockets)
        self._upkeep: asyncio.Task[None] | None = None

    @classmethod
    def from_settings(cls, settings: Any) -> LocalExecutor:
        return cls(settings.state, concurrency=settings.concurrency, start=settings.start)

    workers_are_here = True  # with this machine's network, and this process's credentials

    @property
    def place(self) -> str:
        return identity.place()

    @property
    def concurrency(self) -> int:
        return self._concurrency

    # -- open and close -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Make the directories. Raises ``ConfigurationError`` where the state directory is another user's."""
        prepare_state_dir(self._state)
        os.makedirs(self._spools, mode=0o700, exist_ok=True)
        self._sockets()
        self._upkeep = asyncio.create_task(self._maintain(), name="upkeep of the local executor")

    async def close(self) -> None:
        """Running jobs go on; templates end by themselves when they have nothing left to do."""
        if self._upkeep:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        for timer in self._kills.values():
            timer.cancel()
        self._kills.clear()
        await self._templates.close()
        self._adoption.close()
        self._workers.close()
        await asyncio.sleep(0)  # closed transports say so in the loop's next turn

    async def _maintain(self) -> None:
        turn = 0
        while True:
            if turn % SWEEP == 0:
                await asyncio.to_thread(self._sweep)
            turn += 1
            await asyncio.sleep(MAINTAIN)
            self._templates.retire_idle()
            self._adoption.tidy()

    def _sweep(self) -> None:
        try:
            sweep(self._spools, self._sockets(), time.time())
        except OSError as error:
            log.warning("%s could not be swept: %s", self._state, error)

    def _sockets(self) -> str:
        return socket_dir(self._state)

    def _link(self) -> Link:
        return Link(self._routes, self._watches.wake, self._templates.lost)

    # -- launch -------------------------------------------------------------------------------------------------

    async def launch(self, order: Order) -> None:
        try:
            await self._begin(order)
        except LaunchDelayed:
            if not await self._is_begun(order.execution_id):
                raise
        except LaunchRefused:
            if forbid(self._spools, order.execution_id):  # an order of an earlier launch may be under way still
                raise

    async def _begin(self, order: Order) -> None:
        order = await self._admit(order)
        module = order.source.partition(":")[0]
        for _ in range(TRIES):
            link = await self._templates.ready(module) if self._start != "spawn" else None
            if link is None:
                await self._launch_alone(module, order)
                return
            if await self._launch_from(link, module, order):
                return
        self._templates.shun(module, "its templates do not last: its code changes all the time, or ends the process on import")
        await self._launch_alone(module, order)

    async def _admit(self, order: Order) -> Order:
        try:
            self._workers.admit(order.artifacts)
        except ConfigurationError as error:
            raise LaunchRefused(str(error)) from error
        return await self._containers.admit(order)

    async def _launch_from(self, link: Link, module: str, order: Order) -> bool:
        """Whether it is started. False: another template is needed."""
        try:
            answer = await link.launch(order)
        except ConnectionError as error:
            self._templates.replace(module, link)
            words = self._templates.last_words(link)
            raise LaunchDelayed(f"the template of {module} did not start it: {error}. {words}") from error
        return isinstance(answer, Launched) or await self._refused(answer, link, module, order)

    async def _refused(self, answer: Refused, link: Link, module: str, order: Order) -> bool:
        if answer.why == "exists":
            return await self._is_begun(order.execution_id)  # else that claim was withdrawn meanwhile: once more
        if answer.why == "stale":
            self._templates.replace(module, link)
        elif answer.why == "unsafe":
            self._templates.shun(module, answer.message)
        else:
            raise LaunchDelayed(f"{order.execution_id} was not started ({answer.why}): {answer.message}")
        return False

    async def _launch_alone(self, module: str, order: Order) -> None:
        if self._start == "fork":
            raise LaunchRefused(
                f"{module} cannot be forked ({self._templates.reason(module)}) and start='fork' allows no other"
            )
        if not await self._is_begun(order.execution_id):
            await self._workers.run(order, functools.partial(self._watches.wake, order.execution_id))
            if not await self._is_begun(order.execution_id):
                raise LaunchDelayed(f"{order.execution_id} was claimed by another launch, which did not start it")

    async def _is_begun(self, execution_id: str) -> bool:
        """Whether a launch of it, ours or an earlier one, has come to something: its follower finds out to what. Waits while
        it is claimed only, because a claim is withdrawn where its order has expired or no process can be made."""
        while True:
            spool = self._peek(execution_id)
            if spool.gone:
                return False
            if spool.begun or not supervised(spool):
                return True
            await asyncio.sleep(CLAIMED)

    # -- follow, stop, reap -------------------------------------------------------------------------------------

    def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        spool = Spool(self._spools, execution_id, cursor, seq, line)
        told = follower.follow(spool, self._watches, self._routes, self._adoption.lives)
        return self._containers.cleared(execution_id, told)

    async def stop(self, execution_id: str, grace: float) -> None:
        link = self._routes.get(execution_id)
        if link is None:
            spool = self._peek(execution_id)
            if not supervised(spool):
                return  # there is nothing to stop; its follower tells what became of it
            await self._adoption.lives(spool)
            link = self._routes.get(execution_id)
        if link is not None:
            link.stop(execution_id, grace)
        else:
            _terminate(spool)
        self._kill_after(execution_id, grace)

    def _kill_after(self, execution_id: str, grace: float) -> None:
        """For supervisors that are stuck: the others have done it by then."""
        if execution_id not in self._kills:
            timer = asyncio.get_running_loop().call_later(grace + MARGIN, self._kill, execution_id)
            self._kills[execution_id] = timer

    def _kill(self, execution_id: str) -> None:
        self._kills.pop(execution_id, None)
        spool = self._peek(execution_id)
        if spool.job and supervised(spool):
            identity.send(spool.job.pid, spool.job.start, SIGKILL, group=True)

    def _peek(self, execution_id: str) -> Spool:
        spool = Spool(self._spools, execution_id)
        spool.peek()
        return spool

    async def reap(self, execution_id: str) -> None:
        mark("before:reap")
        with contextlib.suppress(FileNotFoundError):
            os.truncate(log_path(self._spools, execution_id), 0)
        mark("inside:reap")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(end_path(self._spools, execution_id))
        self._containers.forget(execution_id)
        mark("after:reap")

    # -- for people who look ------------------------------------------------------------------------------------

    def commands(self, execution: Execution) -> Sequence[str]:
        pid = execution.located.get("pid")
        return () if pid is None or execution.status.final else (f"ps -o pid,stat,etime,time,rss,args -p {pid}",)

    async def describe(self, execution: Execution) -> Description:
        return description(execution, self._peek(execution.id), log_path(self._spools, execution.id))

    async def unreaped(self) -> Sequence[str]:
        return await asyncio.to_thread(consoles, self._spools)


def _terminate(spool: Spool) -> None:
    """Where there is no template to ask: a worker of its own understands SIGTERM, else the job itself gets it."""
    hello, job = spool.hello, spool.job
    if hello and not hello.sock:
        identity.send(hello.pid, hello.start, SIGTERM)
    elif job:
        identity.send(job.pid, job.start, SIGTERM)


def prepare_state_dir(path: str) -> None:
    """Ours, made if missing, and invisible to git."""
    if not os.path.exists("/proc/self/stat"):
        raise ConfigurationError("the local executor needs Linux: there is no /proc here to tell processes by")
    os.makedirs(path, mode=0o700, exist_ok=True)
    owner = os.stat(path).st_uid
    if owner != os.getuid():
        raise ConfigurationError(
            f"the state directory {path} belongs to user {owner}, but this process runs as user {os.getuid()}: "
            "choose another one (KLASSD_STATE), or run as its owner"
        )
    with contextlib.suppress(FileExistsError), open(os.path.join(path, ".gitignore"), "x") as file:
        file.write("*\n")

"""Executions that are images: their worker runs docker or podman, and here is seen to it that nothing of them is left.

An engine's containers are no children of ours. So each has the name of its execution, and a file in ``directory`` says which
engine knows it, until its outcome is stored: whoever tells the end of an execution removes its container first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import msgspec

from klassd.workflows.containers.engine import Engine, container_name, find_engine
from klassd.workflows.containers.words import words
from klassd.workflows.model.execution import Finished, Told
from klassd.workflows.options import EngineOptions, Needs, Service
from klassd.workflows.order import Order
from klassd.workflows.quantities import amount, sides

GONE = ("no such container", "no container with name")  # what engines say of one that is not there, in small letters


class Containers:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._engine: Engine | None = None
        self._seen = False

    async def admit(self, order: Order) -> Order:
        """As its worker gets it. Raises ``LaunchRefused`` where there is no engine, or it cannot be given its arguments."""
        if order.container is None:
            return order
        words(order.job, order.inputs)
        if self._engine is None:
            self._engine = await asyncio.to_thread(find_engine)
        engine = self._engine
        self._note(order.execution_id, engine)
        options = engine_options(engine, order.pod.resources if order.pod else None, order)
        service = _anywhere(order.service) if options.port else order.service
        return msgspec.structs.replace(order, engine=options, service=service)

    def _note(self, execution_id: str, engine: Engine) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with open(self._path(execution_id), "w") as file:
            file.write(engine.path)

    def _path(self, execution_id: str) -> str:
        return os.path.join(self._directory, execution_id)

    def cleared(self, execution_id: str, told: AsyncGenerator[Sequence[Told], None]) -> AsyncIterator[Sequence[Told]]:
        """The same, and before the end is told its container is gone: the next attempt must not overlap with it."""
        return self._cleared(execution_id, told) if self._any() else told

    async def _cleared(self, execution_id: str, told: AsyncGenerator[Sequence[Told], None]) -> AsyncIterator[Sequence[Told]]:
        async with contextlib.aclosing(told):
            async for batch in told:
                if batch and isinstance(batch[-1], Finished) and (engine := self._engine_of(execution_id)):
                    await _run(engine.remove(container_name(execution_id)))
                yield batch

    def _engine_of(self, execution_id: str) -> Engine | None:
        try:
            with open(self._path(execution_id)) as file:
                return Engine(file.read())
        except FileNotFoundError:
            return None

    def _any(self) -> bool:
        """Most machines run no images: nothing is looked for then."""
        self._seen = self._seen or os.path.isdir(self._directory)
        return self._seen

    def forget(self, execution_id: str) -> None:
        if not self._any():
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(execution_id))


async def _run(command: Sequence[str]) -> None:
    """Raises OSError, so that whoever waits for the end asks again."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    text = said.decode("utf-8", "backslashreplace").strip()
    if process.returncode and not any(each in text.lower() for each in GONE):
        raise OSError(f"{' '.join(command)}: {text or f'exit code {process.returncode}'}")


def _anywhere(service: Service | None) -> Service | None:
    """Reached at any free port of this machine, wherever it listens in its container."""
    return service and msgspec.structs.replace(service, port=0)


def engine_options(engine: Engine, needs: Needs | None, order: Order | None = None) -> EngineOptions:
    """Of what was asked for only the limits: one machine has no use for requests. What uses services is in the network of this
    machine, where nothing is published: a service among them is reached at its own port."""
    found = needs or Needs()
    shares = bool(order and order.uses_services)
    service = order.service if order and not shares else None
    return EngineOptions(
        engine.path,
        memory=int(_limit(found.memory)),
        cpus=_limit(found.cpu),
        port=(service.port or 0) if service else 0,
        host_network=shares,
    )


def _limit(asked: str | None) -> float:
    limit = sides(asked)[1] if asked else ""
    return amount(limit) if limit and limit != "none" else 0.0

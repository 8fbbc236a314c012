"""What all keepers of one scheduler share, and what those who look after an attempt ask of its keeper."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from klassd.workflows.engine.dispatch import Dispatcher, Gate
from klassd.workflows.engine.lease import Lease
from klassd.workflows.engine.live import Live
from klassd.workflows.engine.pipeline import Pipeline
from klassd.workflows.model.execution import Finished
from klassd.workflows.model.run import ExecutionPatch, LogChunk, Run
from klassd.workflows.model.workflow import Definition
from klassd.workflows.options import Needs
from klassd.workflows.ports import Clock, Executor, Ids, Spawned, Spawner, Store
from klassd.workflows.rules.advance import Event
from klassd.workflows.rules.state import RunState

Logs = tuple[tuple[str, LogChunk], ...]  # of which execution


class Keeping(Protocol):
    run: Run
    state: RunState
    pipeline: Pipeline

    @property
    def deps(self) -> Deps: ...

    @property
    def definition(self) -> Definition: ...

    def ordinal(self, node: str) -> int: ...

    def start(self, live: Live) -> None:
        """A slot was given to it."""
        ...

    def current(self, live: Live) -> bool:
        """Whether it is still this keeper's, and not final."""
        ...

    def record(self, updated: tuple[ExecutionPatch, ...] = (), logs: Logs = ()) -> None:
        """What was heard, and decides nothing."""
        ...

    def decide(self, event: Event, updated: tuple[ExecutionPatch, ...] = (), logs: Logs = ()) -> None: ...

    def finish(self, live: Live, finished: Finished, said: dict[str, Any] | None = None, logs: Logs = ()) -> None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> Spawned: ...


@dataclass(slots=True)
class Deps:
    store: Store
    executor: Executor
    clock: Clock
    ids: Ids
    spawner: Spawner
    lease: Lease
    dispatcher: Dispatcher[tuple[Keeping, Live]]
    gate: Gate
    launching: AbstractAsyncContextManager[object]  # what the executor takes at once
    call: Callable[[str, dict[str, Any]], object]
    config: dict[str, Any]
    resources: Mapping[str, Needs]  # by job; stronger than what the code asks for
    artifacts: str
    version: str
    released: Callable[[], None]  # a slot became free
    forget: Callable[[Keeping], None]  # it keeps its run no longer

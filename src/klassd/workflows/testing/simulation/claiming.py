"""Pods that ask for their start: over a network, whatever process with the store answers, and the answer may be lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random
from typing import Any

from klassd.workflows.model.run import hash_token
from klassd.workflows.model.states import StartAnswer
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.testing.simulation import faults as kinds
from klassd.workflows.testing.simulation.faults import Faults
from klassd.workflows.testing.simulation.loop import SimLoop
from klassd.workflows.testing.simulation.process import SimProcess
from klassd.workflows.testing.simulation.trace import Trace

NO_ANSWER = 3.0  # seconds after which a pod asks again
STALL = 60.0  # seconds at most that a request stays on its way
GIVES_UP = 300.0  # seconds

Heard = Callable[[StartAnswer | None], None]  # None: nobody ever answered


class Asking:
    """One pod's question, until it is answered."""

    def __init__(self, execution_id: str, token: str, pod: str, until: float, heard: Heard) -> None:
        self.execution_id, self.token, self.pod, self.until, self.heard = execution_id, token, pod, until, heard
        self.answered = False


class Claiming:
    """``servers``: the processes that could answer now."""

    def __init__(self, loop: SimLoop, rng: Random, faults: Faults, trace: Trace, memory: MemoryStore) -> None:
        self._loop, self._rng, self._faults, self._trace, self._memory = loop, rng, faults, trace, memory
        self._context = Context()
        self.servers: Callable[[], Sequence[SimProcess]] = lambda: ()

    def ask(self, asking: Asking) -> None:
        if asking.answered:
            return
        if self._loop.time() >= asking.until:
            self._answer(asking, None)
            return
        fault = self._faults.draw(kinds.CLAIM)
        stall = self._rng.random() * STALL if fault == "claim.stall" else 0.0
        self._later(self._rng.random() ** 2 * 0.02 + stall, self._arrived, asking, fault)
        self._later(NO_ANSWER, self.ask, asking)

    def _arrived(self, asking: Asking, fault: str | None) -> None:
        """Whatever became of the pod meanwhile: a request that arrives has its effect."""
        if fault == "claim.error_before" or not (answering := self._answering()):
            return
        answer = self._claim(asking)
        self._trace.add(answering.name, f"start_claim by {asking.pod}{f' [{fault}]' if fault else ''} -> {answer}")
        if fault != "claim.error_after":
            self._later(self._rng.random() ** 2 * 0.02, self._answer, asking, answer)

    def _answering(self) -> SimProcess | None:
        able = [process for process in self.servers() if self._loop.time() >= process.no_store_until]
        return self._rng.choice(able) if able else None

    def _claim(self, asking: Asking) -> StartAnswer:
        """The store in memory never waits, so one step is all of it."""
        try:
            self._memory.start_claim(asking.execution_id, hash_token(asking.token), asking.pod).send(None)
        except StopIteration as done:
            answer: StartAnswer = done.value
            return answer
        raise AssertionError("the store in memory waited for something")

    def _answer(self, asking: Asking, answer: StartAnswer | None) -> None:
        if not asking.answered:
            asking.answered = True
            asking.heard(answer)

    def _later(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        self._loop.call_later(seconds, call, *args, context=self._context)

"""Which waiting execution may start next: slots, caps per queue, priority, then a fair share for each run, then age.

Two steps, so that a free slot never waits for the disk: the dispatcher lets an execution be recorded as starting, a little
ahead of the slots where executions end quickly; the gate lets it be launched. A third where the executor takes few launches at
once: those behind it have a slot, and no order yet that could grow old.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Generic, TypeVar

from klassd.workflows.ports import Executor, TakesFew

T = TypeVar("T")


class Dispatcher(Generic[T]):
    """Bookkeeping only: no clock, no effects. An entry is whatever the caller wants back."""

    def __init__(self, slots: int, queue_caps: Mapping[str, int] | None = None) -> None:
        self._slots = slots
        self.ahead = 0  # how many more than there are slots may be recorded as starting
        self._caps = dict(queue_caps or {})
        self._busy = 0
        self._busy_by_queue: dict[str, int] = {}
        self._waiting: dict[str, list[tuple[int, int, int, str, T]]] = {}
        self._count = 0
        self._turn = 0  # start-time fair queueing: a run's next entry waits one turn behind its last one
        self._last_turn: dict[str, int] = {}
        self._of_run: dict[tuple[str, str], int] = {}  # entries waiting, by queue and run

    @property
    def free(self) -> int:
        return self._slots + self.ahead - self._busy

    @property
    def waiting(self) -> int:
        """Entries that wait for a slot or for their queue's cap."""
        return sum(map(len, self._waiting.values()))

    @property
    def runs_waiting(self) -> int:
        """Runs that have something waiting, in queues that are not at their cap: these would start if there were a slot."""
        return sum(not self._capped(queue) for queue, _ in self._of_run)

    def take(self, queue: str) -> bool:
        """A slot for something new, unless others of its queue wait already or none is free."""
        if self._waiting.get(queue) or not self._open(queue):
            return False
        self._occupy(queue)
        return True

    def occupy(self, queue: str) -> None:
        """A slot for what runs already (adopted after a take-over), even beyond the limits."""
        self._occupy(queue)

    def wait(self, queue: str, priority: int, run: str, entry: T) -> None:
        self._count += 1
        turn = max(self._turn, self._last_turn.get(run, -1) + 1)
        self._last_turn[run] = turn
        self._of_run[queue, run] = self._of_run.get((queue, run), 0) + 1
        heapq.heappush(self._waiting.setdefault(queue, []), (-priority, turn, self._count, run, entry))

    def release(self, queue: str) -> None:
        self._busy -= 1
        self._busy_by_queue[queue] -= 1

    def ready(self) -> Iterator[T]:
        """Entries that may start now, each with a slot taken for it."""
        while queue := self._next_queue():
            _, turn, _, run, entry = heapq.heappop(self._waiting[queue])
            if not self._waiting[queue]:
                del self._waiting[queue]
            self._turn = max(self._turn, turn)
            self._leave(queue, run)
            self._occupy(queue)
            yield entry

    def _leave(self, queue: str, run: str) -> None:
        self._of_run[queue, run] -= 1
        if not self._of_run[queue, run]:
            del self._of_run[queue, run]
            if not any(run == other for _, other in self._of_run):
                del self._last_turn[run]

    def _next_queue(self) -> str | None:
        heads = [(waiting[0][:3], queue) for queue, waiting in self._waiting.items() if self._open(queue)]
        return min(heads)[1] if heads else None

    def _open(self, queue: str) -> bool:
        return self.free > 0 and not self._capped(queue)

    def _capped(self, queue: str) -> bool:
        cap = self._caps.get(queue)
        return cap is not None and self._busy_by_queue.get(queue, 0) >= cap

    def _occupy(self, queue: str) -> None:
        self._busy += 1
        self._busy_by_queue[queue] = self._busy_by_queue.get(queue, 0) + 1


class Gate:
    """At most ``slots`` at once; first come, first served."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def occupy(self) -> None:
        """For what runs already, even beyond the slots."""
        self._free -= 1

    def leave(self) -> None:
        self._free += 1
        while self._free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


def launching(executor: Executor) -> AbstractAsyncContextManager[object]:
    """Within it, a launch has its turn."""
    return asyncio.Semaphore(executor.launches_at_once) if isinstance(executor, TakesFew) else nullcontext()

"""What the outside must promise: Store, Executor, Clock, Ids, Spawner.

Small on purpose: each method is one transaction or one effect. An adapter proves itself with the conformance suite of its
port in ``klassd.workflows.testing``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from klassd.workflows.model.description import Description
from klassd.workflows.model.execution import Told
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.page import Counts, ExecutionQuery, Page, RunQuery
from klassd.workflows.model.run import Change, Execution, LoadedRun, NodeRow, Run
from klassd.workflows.model.states import StartAnswer
from klassd.workflows.order import Order


class Clock(Protocol):
    """Time is an argument everywhere, so that a simulation can own it."""

    def now(self) -> float:
        """Wall time, seconds since the epoch (UTC). May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; for waits and leases."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    """The only source of randomness."""

    def run_id(self, now: float) -> str:
        """20 lower-case characters that sort by time: usable in a DNS label."""
        ...

    def token(self) -> str:
        """128 random bits as 32 hexadecimal digits."""
        ...


class Spawned(Protocol):
    def cancel(self) -> object: ...


class Spawner(Protocol):
    """The one place that makes concurrent tasks. A task that raises is reported, never lost."""

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> Spawned: ...

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        ...


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    run: Run
    definition: bytes


class Store(Protocol):
    """The only truth. Every method may be called from many processes at once.

    Durability: ``enqueue``, ``request_cancel``, ``start_claim`` and every ``Change`` that says ``durable`` have reached the
    disk when they return. Other changes are atomic and ordered, but a power cut may take them. Times in a lease are the
    store's own clock.

    Any verb raises ``StoreError`` when the store is unavailable: nothing of it was done, or its answer was lost; either way
    the same call may be repeated. ``Unstorable`` says that a value cannot be stored, now or ever; nothing of the call was done.
    """

    async def open(self) -> None:
        """Connect, create or migrate the schema. Raises ``SchemaMismatch`` when it is newer than this version."""
        ...

    async def close(self) -> None: ...

    # -- what applications ask for ------------------------------------------------------------------------------

    async def enqueue(self, runs: Sequence[NewRun]) -> list[str]:
        """Insert all, or none. Returns their ids in order; where (tenant, idempotency_key) is known already, the id of the
        run that has it, and nothing is inserted for that one, nor for an id that exists."""
        ...

    async def request_cancel(self, run_id: str, now: float) -> bool:
        """Ask the owner to cancel. A run that is still queued is cancelled at once. False: unknown or final already."""
        ...

    # -- ownership ----------------------------------------------------------------------------------------------

    async def renew(self, owner: str, ttl: float) -> bool:
        """Start or extend this owner's lease, ``ttl`` seconds from the store's now. One row, however many runs it owns.
        False: the lease had run out before (others may have taken runs; ``commit`` will tell which)."""
        ...

    async def is_live(self, owner: str) -> bool:
        """Whether this owner has a lease that has not run out."""
        ...

    async def claim_runs(
        self,
        owner: str,
        limit: int,
        now: float,
        queues: Sequence[str] | None = None,
        only: Sequence[str] | None = None,
        abandoned: bool = False,
    ) -> list[LoadedRun]:
        """Take up to ``limit`` runs that are not final, due (``not_before <= now``) and owned by nobody with a live lease:
        by priority, then age. Each gets ``owner``, ``epoch + 1`` and, where queued, the status running and ``started_at``
        (``now``). Two owners never get the same run. ``queues``: only runs of these; ``only``: only these run ids;
        ``abandoned``: only runs that somebody has had before. Needs a live lease of ``owner``, else returns nothing."""
        ...

    async def release(self, owner: str) -> None:
        """End this owner's lease and give up its runs, so that others take them without waiting."""
        ...

    async def cancel_requests(self, owner: str) -> list[str]:
        """Ids of runs of this owner that somebody asked to cancel and that are not final."""
        ...

    async def next_due(self, now: float) -> float | None:
        """The earliest ``not_before`` after ``now`` of a queued run without a live owner; None: there is none."""
        ...

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Apply the changes in order, each all or nothing; the group is one transaction. For each: True, or False where it
        was refused because the run's epoch is another or the run is final (nothing of it was applied).
        Idempotent: executions that exist are left as they are, log chunks that exist are not repeated, and a final
        execution never changes again. A node's row replaces the one before, whose ``items`` and ``address`` stay where it
        has none."""
        ...

    # -- what workers ask for -----------------------------------------------------------------------------------

    async def start_claim(self, execution_id: str, token_hash: str, started_by: str) -> StartAnswer:
        """Whether this worker may start the execution: the first that asks, and nobody else ever. Asked again by the same, the
        answer is the same, so a lost one costs nothing. UNKNOWN unless ``token_hash`` is among its own; OVER unless the
        execution is starting or running and its run is not final. Reached the disk when it returns."""
        ...

    # -- reading ------------------------------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> Run | None: ...

    async def find_runs(self, text: str, limit: int = 5) -> list[str]:
        """Ids that begin or end with ``text``, newest first."""
        ...

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        """Newest first, keyset paging: stable under inserts."""
        ...

    async def counts(self) -> Counts:
        """Runs by name and status. Kept in the write transaction, so constant time whatever the history."""
        ...

    async def get_definition(self, hash_: str) -> bytes | None: ...

    async def list_nodes(self, run_id: str) -> list[NodeRow]: ...

    async def get_execution(self, execution_id: str) -> Execution | None: ...

    async def list_executions(self, query: ExecutionQuery) -> Page[Execution]:
        """In order of node (as in the definition: by the ordinal in an execution's id), index, attempt."""
        ...

    async def log_cursor(self, execution_id: str) -> tuple[str, int, int]:
        """(cursor, next seq, next line) after the last stored chunk; ("", 0, 1) when there is none. The seq is a lower bound
        where the chunk does not say its ``next_seq``."""
        ...

    async def read_log(self, execution_id: str, first_line: int = 1, limit: int = 1000) -> list[LogLine]:
        """Lines from ``first_line`` on, in constant time whatever the length of the console. Of a gap that began before
        ``first_line``, what is left of it; fewer lines than ``limit`` only at the console's end."""
        ...

    async def finished(self, before: float, limit: int) -> list[Run]:
        """Up to ``limit`` final runs that finished before and that no other run ``refers_to``, the oldest first."""
        ...

    async def prune(self, run_ids: Sequence[str]) -> list[str]:
        """Remove those of them that are final, with all that hangs on them; all or none. Returns which it removed, in order."""
        ...

    # -- hints --------------------------------------------------------------------------------------------------

    def watch(self) -> AsyncIterator[None]:
        """Yields whenever something may have changed, in this process or another. Hints only: may be late, merged or
        missing, so every reader polls besides. Registered when the iterator is first awaited."""
        ...


class Executor(Protocol):
    """Launches, follows, stops. Never sees the store.

    Any verb raises ``OSError`` (a ``ConnectionError``, a ``TimeoutError``) where the outside does not answer: nothing was done,
    or its answer was lost; either way the same call is repeated.
    """

    @property
    def place(self) -> str:
        """Where executions launched here live. One recorded under another place cannot be adopted here."""
        ...

    @property
    def concurrency(self) -> int:
        """How many executions it takes at once."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Let go of everything. What runs goes on running."""
        ...

    async def launch(self, order: Order) -> None:
        """Idempotent: the same execution id is the same process or pod, whoever launches it and however often.
        Raises ``LaunchRefused`` or ``LaunchDelayed`` where nothing of it was started, now or by an earlier launch."""
        ...

    def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        """What the execution says from the cursor on, in batches; ends after ``Finished``. Always ends so: an execution of
        which nothing can be found is ``Finished(exit=Exit(reason="lost"))``, and from then on no launch of it starts anything,
        not even one that is under way already. ``seq`` and ``line`` are the next expected
        frame and line, so that a gap can be marked."""
        ...

    async def stop(self, execution_id: str, grace: float) -> None:
        """Ask it to stop, kill it after ``grace`` seconds. Idempotent; returns before it is dead."""
        ...

    async def reap(self, execution_id: str) -> None:
        """Forget it; only after its outcome is stored. Idempotent."""
        ...


@runtime_checkable
class ClaimsStarts(Protocol):
    """What an executor may offer besides ``Executor``, where more than one worker may come up for one execution."""

    @property
    def claims_starts(self) -> bool:
        """Whether its workers claim their start with ``Order.claim`` from a process that has the store, before they run it."""
        ...


@runtime_checkable
class TakesFew(Protocol):
    """What an executor may offer besides ``Executor``, where launches share something that is slow. The others wait in the
    engine, which gives each order its expiry when it is its turn."""

    @property
    def launches_at_once(self) -> int: ...


@runtime_checkable
class LeavesBehind(Protocol):
    """What an executor may offer besides ``Executor``, where what it has of an execution outlives a scheduler that was killed
    between storing the outcome and ``reap``."""

    async def unreaped(self) -> Sequence[str]:
        """Executions of which there is something to reap, whether they have ended or not."""
        ...


@runtime_checkable
class LosesSight(Protocol):
    """What an executor offers besides ``Executor`` whose ``follow`` tells ``Unknown``: a machine may fall silent while its
    jobs run on."""

    async def unknown_since(self, execution_id: str) -> float | None:
        """Since when nobody can tell whether it runs, found out anew rather than remembered; None: it is known. As ``follow``
        tells it: whoever hears the same ``since`` twice has missed nothing in between."""
        ...


@runtime_checkable
class Describes(Protocol):
    """What an executor may offer besides ``Executor``, for people who look. Of an executor that was not opened, too."""

    def commands(self, execution: Execution) -> Sequence[str]:
        """What to type in a shell to look further. Asks nobody. ``execution`` was launched at this executor's place."""
        ...

    async def describe(self, execution: Execution) -> Description:
        """The execution as the outside shows it now. Raises ``OSError`` where there is no answer, ``KlassdError`` where there
        is one that does not help."""
        ...

"""The two threads of a store: one writes whatever is pending in one transaction, one reads.

Work arrives over a ``SimpleQueue`` (a hand-over costs microseconds) and results go back with one call per event loop and group,
however many futures it resolves.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from klassd.workflows.crashes import mark
from klassd.workflows.errors import StoreError, Unstorable
from klassd.workflows.stores.common import Bells
from klassd.workflows.stores.sqlite.connection import BUSY_TRIES, connect, error_code, trouble
from klassd.workflows.stores.sqlite.hints import Sockets
from klassd.workflows.stores.sqlite.transaction import Transaction

GROUP = 1000  # operations in one transaction at most: about 100 ms, so that other processes get their turn

# Faults of one operation's values: of a type SQLite has not, too long, beyond 64 bits, with a lone surrogate.
_MISFITS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)

T = TypeVar("T")
C = TypeVar("C")
Outcome = tuple["Work", Any, BaseException | None]
Calls = dict[asyncio.AbstractEventLoop, list[Callable[[], None]]]


class Work:
    """One operation, and the future somebody waits on."""

    __slots__ = ("do", "durable", "future", "loop")

    def __init__(self, do: Callable[[Any], Any], durable: bool) -> None:
        self.do, self.durable = do, durable
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def settle(self, value: Any, error: BaseException | None) -> None:
        if self.future.done():  # whoever waited has gone
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


class _Worker(Generic[C]):
    """A thread with a connection of its own. ``C`` is what work is given."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f"klassd {name}", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[C], T], durable: bool = False) -> T:
        entry = Work(work, durable)
        self._queue.put(entry)
        result: T = await entry.future
        return result

    def close(self) -> None:
        """Finish what is pending, then end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._pending():
            calls: Calls = {}
            for work, value, error in self._outcomes([work for work in group if work]):
                calls.setdefault(work.loop, []).append(partial(work.settle, value, error))
            self._deliver(calls)
            del calls
            if None in group:
                break
        self._disconnect()
        self._refuse_the_rest()

    def _refuse_the_rest(self) -> None:
        """What another thread's loop asked for while this one closed the store."""
        while not self._queue.empty():
            if work := self._queue.get():
                self._deliver({work.loop: [partial(work.settle, None, closed(self._path))]})

    def _pending(self) -> list[Work | None]:
        group = [self._queue.get()]
        try:
            while len(group) < GROUP and group[-1] is not None:
                group.append(self._queue.get_nowait())
        except Empty:
            pass
        return group

    def _outcomes(self, group: list[Work]) -> list[Outcome]:
        if not group:
            return []
        try:
            return self._perform(group)
        except Exception as error:
            self._disconnect()  # whatever state it is in: the next group gets a fresh one
            return [(work, None, trouble(error, self._path)) for work in group]

    def _perform(self, group: list[Work]) -> list[Outcome]:
        raise NotImplementedError

    def _deliver(self, calls: Calls) -> None:
        for loop, todo in calls.items():
            try:
                loop.call_soon_threadsafe(_call_all, todo)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def _call_all(todo: list[Callable[[], None]]) -> None:
    for call in todo:
        call()


class Writer(_Worker[Transaction]):
    def __init__(self, path: str, bells: Bells, sockets: Sockets) -> None:
        self._bells, self._sockets = bells, sockets
        self._full = False  # synchronous, as it stands
        self._changed = False  # by the last group
        super().__init__(path, "store writer")

    def _perform(self, group: list[Work]) -> list[Outcome]:
        connection = self._connection = self._connection or self._connect()
        self._changed = False
        self._synchronous(connection, any(work.durable for work in group))
        _begin(connection)
        try:
            transaction = Transaction(connection)
            outcomes = [_attempt(transaction, work) for work in group]
            transaction.finish()
            mark("inside:transaction")
            connection.execute("COMMIT")
            mark("after:transaction")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._changed = transaction.changed
        return outcomes

    def _connect(self) -> sqlite3.Connection:
        self._full = False
        return connect(self._path)

    def _synchronous(self, connection: sqlite3.Connection, full: bool) -> None:
        """Only what somebody relies on waits for the disk: measured 0.9 ms a group, against 0.04 ms."""
        if full != self._full:
            connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            self._full = full

    def _deliver(self, calls: Calls) -> None:
        if self._changed:
            for loop, rings in self._bells.by_loop().items():
                calls.setdefault(loop, []).extend(rings)
        super()._deliver(calls)
        if self._changed:
            self._sockets.send()
            self._changed = False


def _begin(connection: sqlite3.Connection) -> None:
    for left in reversed(range(BUSY_TRIES)):
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error_code(error) != sqlite3.SQLITE_BUSY or not left:
                raise


def _attempt(transaction: Transaction, work: Work) -> Outcome:
    """One operation in its savepoint. What is its own fault does not spoil the others; what is the disk's fails the group."""
    transaction.begin()
    try:
        value = work.do(transaction)
    except _MISFITS as error:
        transaction.undo()
        return work, None, Unstorable(f"SQLite cannot hold a value of it: {error}")
    except sqlite3.Error:
        raise
    except Exception as error:
        transaction.undo()
        return work, None, error
    transaction.keep()
    return work, value, None


class Reader(_Worker[sqlite3.Connection]):
    def __init__(self, path: str) -> None:
        super().__init__(path, "store reader")

    def _perform(self, group: list[Work]) -> list[Outcome]:
        connection = self._connection = self._connection or connect(self._path, read_only=True)
        connection.execute("BEGIN")  # one short snapshot; it is younger than everything the group asked for
        try:
            return [_read(connection, work) for work in group]
        finally:
            connection.execute("COMMIT")


def _read(connection: sqlite3.Connection, work: Work) -> Outcome:
    try:
        return work, work.do(connection), None
    except _MISFITS as error:
        return work, None, Unstorable(f"SQLite cannot look for it: {error}")
    except sqlite3.Error:
        raise
    except Exception as error:
        return work, None, error


def closed(path: str) -> StoreError:
    return StoreError(f"the store {path} is not open: `await store.open()` first")

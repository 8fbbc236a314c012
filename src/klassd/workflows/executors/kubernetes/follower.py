"""Follows one execution to its end: waits for its pod, reads its console, and tells the end only when the container is dead."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import msgspec

from klassd.workflows.executors.kubernetes.api import PODS, Api, ApiError, Unavailable
from klassd.workflows.executors.kubernetes.console import Console
from klassd.workflows.executors.kubernetes.course import Course
from klassd.workflows.executors.kubernetes.manifest import WORKER
from klassd.workflows.executors.kubernetes.names import EXECUTION, NONCE, job_name, label_value
from klassd.workflows.executors.kubernetes.plain_console import PlainConsole
from klassd.workflows.executors.kubernetes.portions import NEVER, Lull, gathered
from klassd.workflows.executors.kubernetes.seen import Seen, gone
from klassd.workflows.executors.kubernetes.turns import Turns
from klassd.workflows.executors.kubernetes.view import Known
from klassd.workflows.executors.telling import Telling
from klassd.workflows.model.execution import Exit, Finished, Told, Unknown, Waiting
from klassd.workflows.model.states import Cause
from klassd.workflows.order import End

log = logging.getLogger("klassd.workflows")

SPACING = 0.02  # seconds between two batches of one console: a line every millisecond is no reason for 1,000 writes a second
LARGE = 256 * 1024  # bytes that are taken at once however soon they came: a connection brings 8 KiB at a time
REOPEN = 0.5  # seconds before a console is opened again whose container has not ended
UNSEEN = 10.0  # the same, while its node does not answer
LEAVING = 15.0  # seconds after which a pod that was told to end is looked at again: that it does not is no change to hear of
SETTLE = 1.0  # seconds that a stopped Job is given to show the pod it may have made just before
PODLESS = 5.0  # seconds without a pod after which its Job's events are looked at, and again
TAILS, TAIL = 5, 0.1  # times the end of a console is looked for after its container's end, and seconds between them
# A kubelet before 1.27 may leave its followers behind when it rotates a file that is being written to (kubernetes#115701), and
# throws away what they did not hear at its next look, ten seconds later. It may have rotated where so much was heard.
ROTATED = Lull(after=1 << 20, seconds=1.0)

_end = msgspec.json.Decoder(End).decode


class Follower:
    def __init__(self, api: Api, known: Known, asking: Turns, execution_id: str, cursor: str, seq: int, line: int) -> None:
        self._api, self._known, self._asking, self._execution_id = api, known, asking, execution_id
        self._since = cursor
        self._telling = Telling(cursor, seq, line)
        self._console: Console | PlainConsole = Console(self._nonce(), seq)
        self._course = Course(api)
        self._finished: Finished | None = None
        self._said = ""  # what it waits for, as it was told last
        self._shown = ""  # the same, as far as its objects show it
        self._complained = False
        self._unknown = Unknown(since=None)

    async def told(self) -> AsyncGenerator[Sequence[Told], None]:
        while True:
            changed, state = self._known.changed, await self._state()
            if news := await self._course.news(self._known.last):
                yield news
            if state.exit is not None or self._over_unseen():
                break
            if unknown := self._sight():
                yield [unknown]
            if state.running and self._finished is None:
                async for batch in self._listen():
                    yield batch
                continue
            if waiting := self._waits(state):
                yield [waiting]
            if not await self._changes(changed) and (waiting := await self._complaint()):
                yield [waiting]
        async for batch in self._last_words(state):
            yield batch
        yield self._end(state, state.exit or Exit())

    def _source(self) -> str:
        """The container whose console it is."""
        return WORKER

    def _nonce(self) -> str:
        """Of its frames. An object of the API says it, so nothing that stands in the console is believed."""
        for item in (self._known.job, self._known.last):
            if item is not None and (nonce := (item["metadata"].get("annotations") or {}).get(NONCE)):
                return str(nonce)
        return "-"

    # -- waiting ------------------------------------------------------------------------------------------------

    async def _state(self) -> Seen:
        state = self._known.seen
        if self._known.last is not None:
            return state
        if state.exit is not None and await self._listed():
            return Seen() if self._known.last is None else self._known.seen
        if state.exit is None and self._stopped_unborn() and await self._surely_unborn():
            return Seen(exit=gone(self._known.job, None, self._said))
        return state

    async def _changes(self, changed: asyncio.Event) -> bool:
        """False: it is long without a pod, and it is its turn to ask why."""
        if self._known.last is None and self._finished is None:
            return await _within(PODLESS, changed) or await _within(self._asking.take(), changed)
        if self._known.leaving or self._finished is not None:
            await _within(LEAVING, changed)
        else:
            await changed.wait()
        return True

    async def _complaint(self) -> Waiting | None:
        """Why there is no pod, if that is news: a quota, a webhook. Only the events of its Job tell."""
        events = await self._api.events(job_name(self._execution_id))
        said = [str(each.get("message")) for each in events if each.get("type") == "Warning"]
        if not said or said[-1] == self._said:
            return None
        self._said = said[-1]
        return Waiting(why=self._said, held=self._known.seen.held)

    def _waits(self, state: Seen) -> Waiting | None:
        """What it waits for before its start, where that is news."""
        if state.running or not state.waiting or state.waiting == self._shown or self._unknown.since is not None:
            return None
        self._said = self._shown = state.waiting
        return Waiting(why=state.waiting, held=state.held)

    def _stopped_unborn(self) -> bool:
        known = self._known
        return known.last is None and (known.job is None or known.job["spec"].get("parallelism") == 0)

    async def _surely_unborn(self) -> bool:
        """The Job's controller may be a moment behind."""
        await asyncio.sleep(SETTLE)
        return not await self._listed() and self._stopped_unborn()

    async def _listed(self) -> bool:
        """Whether it has a pod. The watches of Jobs and of pods do not keep step, so ask."""
        pods, _ = await self._api.list(PODS, f"{EXECUTION}={label_value(self._execution_id)}")
        return bool(pods)

    # -- a node that does not answer ----------------------------------------------------------------------------

    def _sight(self) -> Unknown | None:
        """Whether anybody can tell if it runs, where that is news."""
        before, self._unknown = self._unknown, self._known.unknown(time.time())
        if before.since == self._unknown.since:
            return None
        self._said = self._shown = ""
        return self._unknown

    def _over_unseen(self) -> bool:
        """Its own record says that it is over, and nobody is there to say so of its container."""
        return self._finished is not None and self._known.unknown(time.time()).since is not None

    # -- reading ------------------------------------------------------------------------------------------------

    async def _listen(self) -> AsyncIterator[Sequence[Told]]:
        """Until its end frame, or the end of this reading."""
        changed = self._known.changed
        try:
            async for batch in self._read(follow=True):
                yield batch
        except Unavailable as error:
            log.info("the console of %s is opened again: %s", self._execution_id, error)
        except ApiError as error:  # its container is not there yet, or not any more: the view will tell which
            self._cannot_listen(error)
        if self._finished is None:
            await _within(REOPEN if self._unknown.since is None else UNSEEN, changed)

    def _cannot_listen(self, error: ApiError) -> None:
        """Told loudly once where it will not pass by itself."""
        loud = bool(error.lacking) and not self._complained
        self._complained = self._complained or loud
        log.log(logging.WARNING if loud else logging.INFO, "the console of %s cannot be had: %s", self._execution_id, error)

    async def _read(self, *, follow: bool) -> AsyncIterator[Sequence[Told]]:
        self._console.reopen()
        lines = self._api.log(self._known.first, self._source(), since=self._since.partition("#")[0], follow=follow)
        async with aclosing(gathered(lines, SPACING, LARGE, ROTATED if follow else NEVER)) as portions:
            async for portion in portions:
                self._known.heard = time.time()
                for frame, at in self._console.feed(portion):
                    self._since = at
                    self._telling.take(frame, at)
                if batch := self._batch():
                    yield batch
                if self._finished is not None:
                    return

    def _batch(self) -> list[Told]:
        batch = self._telling.batch()
        if batch and isinstance(batch[-1], Finished):
            self._finished = batch.pop()  # type: ignore[assignment]
        return batch

    # -- the end ------------------------------------------------------------------------------------------------

    async def _last_words(self, state: Seen) -> AsyncIterator[Sequence[Told]]:
        """What the console got between the last look and the end of its container; there is none of one that never ran."""
        before = -1
        for look in range(TAILS if state.running else 0):
            if self._finished is not None or self._console.next == before or not self._known.pods.get(self._known.first):
                break
            await asyncio.sleep(TAIL if look else 0)
            before = self._console.next
            try:
                async for batch in self._read(follow=False):
                    yield batch
            except ApiError as error:
                log.warning("the rest of the console of %s cannot be had: %s", self._execution_id, error)
                break
        for frame, at in self._console.plain():
            self._telling.take(frame, at)
        if batch := self._batch():
            yield batch

    def _end(self, state: Seen, exit_: Exit) -> list[Told]:
        """The worker's own word, from its console or else from its termination message, and what the cluster saw."""
        rest: list[Told] = []
        exit_ = msgspec.structs.replace(exit_, warnings=tuple(map(_second_pod, self._known.refused)))
        if self._finished is None and (record := record_of(state.record)):
            self._telling.end(record)
            rest = self._batch()
        if self._finished is None:
            return [Finished(exit=self._explained(exit_), at=time.time())]
        heard = self._finished
        message = exit_.message or heard.exit.message
        return [*rest, msgspec.structs.replace(heard, exit=msgspec.structs.replace(exit_, message=message))]

    def _explained(self, exit_: Exit) -> Exit:
        """A pod that was given up does not say any more what it waited for."""
        if exit_.reason != Cause.START_DEADLINE or not self._said or self._said in exit_.message:
            return exit_
        return msgspec.structs.replace(exit_, message=f"{exit_.message}: {self._said}")


def _second_pod(name: str) -> str:
    return f"Kubernetes made a second pod of this attempt, {name}: it was refused the start and ran nothing"


async def _within(seconds: float, changed: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await changed.wait()
    except TimeoutError:
        return False


def record_of(message: str) -> End | None:
    try:
        return _end(message) if message else None
    except msgspec.DecodeError:
        return None

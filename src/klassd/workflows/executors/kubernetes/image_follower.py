"""Follows an execution that is an image: its console is plain, and its container's exit code is the outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from klassd.workflows.executors.kubernetes.api import ApiError
from klassd.workflows.executors.kubernetes.console import Console
from klassd.workflows.executors.kubernetes.follower import Follower, record_of
from klassd.workflows.executors.kubernetes.manifest import WORKER
from klassd.workflows.executors.kubernetes.names import NOT_READY, TIMED_OUT, TOO_LATE
from klassd.workflows.executors.kubernetes.plain_console import PlainConsole
from klassd.workflows.executors.kubernetes.seen import Seen, began, collecting, own_name, stopped
from klassd.workflows.executors.telling import Telling
from klassd.workflows.model.execution import Exit, Finished, Started, Told
from klassd.workflows.model.states import Cause
from klassd.workflows.order import End

log = logging.getLogger("klassd.workflows")


_REQUESTED = {TIMED_OUT: "deadline", NOT_READY: "not_ready"}  # of an order's end; anything else is a stop


class ImageFollower(Follower):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        _, cursor, seq, line = given[-4:]
        self._plain = PlainConsole(cursor, seq, line)
        self._console = self._plain
        self._began: float | None = None

    def _source(self) -> str:
        return own_name(self._known.last)

    async def _listen(self) -> AsyncIterator[Sequence[Told]]:
        if started := self._started():
            yield [started]
        async for batch in super()._listen():
            yield batch

    def _started(self) -> Started | None:
        """Once: what a worker would have said itself."""
        if self._began is not None or (at := began(self._known.last)) is None:
            return None
        self._began = at
        return Started(at=at)

    async def _last_words(self, state: Seen) -> AsyncIterator[Sequence[Told]]:
        if started := self._started():
            yield [started]
        async for batch in super()._last_words(state):
            yield batch
        if collecting(self._known.last):
            self._finished = await self._collected()

    async def _collected(self) -> Finished | None:
        """What our container says of the files. Its console is read but once, when it is dead."""
        console, telling = Console(self._nonce(), 0), Telling("", 0, 1)
        try:
            async for portion in self._api.log(self._known.first, WORKER, follow=False):
                for frame, at in console.feed(portion):
                    telling.take(frame, at)
        except ApiError as error:
            log.warning("the outputs of %s cannot be had: %s", self._execution_id, error)
        if not telling.finished and (record := record_of(self._known.seen.record)):
            telling.end(record)
        said = telling.batch()
        return said[-1] if said and isinstance(said[-1], Finished) else None

    def _end(self, state: Seen, exit_: Exit) -> list[Told]:
        if self._finished is not None:
            finished = self._finished
            end = finished.end and msgspec.structs.replace(finished.end, lines=self._plain.lines)
            message = exit_.message or finished.exit.message
            return [msgspec.structs.replace(finished, end=end, exit=msgspec.structs.replace(exit_, message=message))]
        return [self._unread(exit_) if collecting(self._known.last) else self._by_exit_code(exit_)]

    def _unread(self, exit_: Exit) -> Finished:
        why, reason = exit_.message or f"exit code {exit_.exit_code}", exit_.reason or Cause.OUTPUT
        if stopped(self._known.job) == TOO_LATE:
            why, reason = "the container that reads them did not start in time", Cause.OUTPUT
        message = f"it succeeded, but its files could not be read: {why}"
        return Finished(exit=msgspec.structs.replace(exit_, reason=reason, message=message), at=time.time())

    def _by_exit_code(self, exit_: Exit) -> Finished:
        now = time.time()
        asked = self._asked(exit_)
        if asked or (exit_.exit_code == 0 and not exit_.reason):
            end = End(
                result="none" if asked else "success",
                requested=asked or None,
                exit_code=exit_.exit_code,
                signal=exit_.signal,
                lines=self._plain.lines,
                started_at=self._began or now,
                finished_at=now,
            )
            return Finished(end=end, exit=exit_, at=now)
        if exit_.exit_code and not exit_.reason:
            exit_ = msgspec.structs.replace(exit_, reason=Cause.EXIT)
        return Finished(exit=exit_, at=now)

    def _asked(self, exit_: Exit) -> str:
        """It was told to end, so its exit code says nothing of its work; nor does it then matter that nobody saw it end."""
        if self._began is None or exit_.reason not in ("", Cause.LOST):
            return ""
        why = stopped(self._known.job)
        return _REQUESTED.get(why, "stop") if why else ""


def follower_class(known: Any) -> type[Follower]:
    for item in (known.job, known.last):
        if item is not None and own_name(item, ""):
            return ImageFollower
    return Follower

"""A job's passage inside this process: what ``worker.child`` does in one of its own, and what the job came to."""

from __future__ import annotations

import asyncio
import inspect
import os
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from types import coroutine
from typing import Any

from klassd.workflows.errors import ArtifactNotStored, ContainerFailed, JobCancelled, PermanentError
from klassd.workflows.order import Error
from klassd.workflows.testing.recording import RecordingContext
from klassd.workflows.worker.child import Unusable, describe
from klassd.workflows.worker.context import OutputError, output_bytes


class Killed(BaseException):
    """Ends a job that did not end within its grace."""


@dataclass(frozen=True, slots=True)
class Came:
    """What a job came to by itself; the fields mean what they mean in ``order.End``."""

    result: str
    exit_code: int = 0
    outputs: dict[str, bytes] = field(default_factory=dict)
    error: Error | None = None
    cause: str | None = None
    stored: bool = True
    exception: BaseException | None = None


_HERE = os.path.dirname(__file__)
Work = Callable[[RecordingContext], Any]
NOTHING = Came("none", exit_code=1)


async def passage(
    prepare: Callable[[], tuple[Work, Callable[[], None]]], context: RecordingContext, killed: Callable[[], bool]
) -> Came:
    """``prepare`` gives the call and what closes its services. Never raises anything of the job's."""
    try:
        work, close = _prepared(prepare)
        try:
            value = await _call(work, context, killed)
        finally:
            close()
        outputs = {name: output_bytes(each, f"output {name!r}") for name, each in context.outputs.items()}
        return Came("success", outputs={"": output_bytes(value, "the return value"), **outputs})
    except KeyboardInterrupt:
        raise
    except (JobCancelled, Killed):
        return NOTHING
    except SystemExit as error:
        return _exited(context, error)
    except BaseException as error:
        if context.cancelled and isinstance(error, asyncio.CancelledError):
            return NOTHING
        return _failed(context, error)


def _prepared(prepare: Callable[[], tuple[Work, Callable[[], None]]]) -> tuple[Work, Callable[[], None]]:
    try:
        return prepare()
    except Exception as error:
        raise Unusable(str(error)) from error


async def _call(work: Work, context: RecordingContext, killed: Callable[[], bool]) -> Any:
    value = _without_loop(work, context)
    return await _mortal(value, killed) if inspect.iscoroutine(value) else value


def _without_loop(work: Work, context: RecordingContext) -> Any:
    """As in a worker, where a synchronous job may well call ``asyncio.run``."""
    loop = asyncio.get_running_loop()
    events._set_running_loop(None)
    try:
        return work(context)
    finally:
        events._set_running_loop(loop)


@coroutine
def _mortal(job: Coroutine[Any, Any, Any], killed: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Awaits the job step by step, so that one which swallows its cancellation can still be ended."""
    step: Callable[[Any], Any] = job.send
    given: Any = None
    while True:
        if killed():
            with suppress(RuntimeError):  # it ignores even this; without steps it is as good as dead
                job.close()
            raise Killed
        try:
            awaited = step(given)
        except StopIteration as end:
            return end.value
        try:
            given = yield awaited
            step = job.send
        except BaseException as error:
            step, given = job.throw, error


def _exited(context: RecordingContext, error: SystemExit) -> Came:
    code = error.code
    context.log(f"the job called sys.exit({'' if code is None else repr(code)}) and has no result", level="ERROR")
    return Came("none", exit_code=code if isinstance(code, int) else 1 if code else 0)


def _failed(context: RecordingContext, error: BaseException) -> Came:
    """As the supervisor puts it: a result whose output cannot be stored is a success that was not stored."""
    unusable, unstored = isinstance(error, Unusable), isinstance(error, OutputError)
    shown = _from_the_job((error.__cause__ or error) if unusable else error)
    if isinstance(shown, ContainerFailed):  # it is no line of its console
        return Came("failure", shown.exit_code, error=Error(type=str(shown), message=""), cause=shown.cause, exception=shown)
    text = describe(shown)
    context.log(text, level="ERROR")
    return Came(
        "success" if unstored else "failure",
        exit_code=1,
        error=Error(
            type=type(shown).__name__,
            message=str(shown)[:1000],
            traceback=text[-1200:],
            retry=not (unusable or unstored or isinstance(error, PermanentError)),
        ),
        cause="input" if unusable else "output" if unstored or isinstance(error, ArtifactNotStored) else None,
        stored=not unstored,
        exception=shown,
    )


def _from_the_job(error: BaseException) -> BaseException:
    """Its traceback begins where the user's code does."""
    while (trace := error.__traceback__) and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        error.__traceback__ = trace.tb_next
    return error

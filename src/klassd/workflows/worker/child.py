"""The job's own process, from the fork to ``os._exit``."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from klassd.workflows.crashes import mark
from klassd.workflows.errors import (
    ArtifactNotStored,
    ConfigurationError,
    ContainerFailed,
    InvalidInput,
    JobCancelled,
    KlassdError,
    PermanentError,
)
from klassd.workflows.job import JobInfo, load_job
from klassd.workflows.order import Order
from klassd.workflows.worker import processes
from klassd.workflows.worker.channel import Channel
from klassd.workflows.worker.context import OutputError, WorkerContext, output_bytes
from klassd.workflows.worker.stdio import install

SHORT = 1024  # bytes of a return value that goes along with the message that there is one
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
_MANIFEST = 2000  # bytes of JSON of all entries of named outputs: they must fit the outcome record with all else
_ENTRY = 22  # bytes of one besides its name: size and checksum
_STOPPED = 128 + signal.SIGTERM


known: dict[str, JobInfo] = {}  # jobs that were loaded before the fork


class Unusable(Exception):
    """The job cannot be run at all: nothing of it was started, and trying again cannot help."""


def run(order: Order, channel: Channel) -> NoReturn:
    """Run the job and never return: the interpreter's own finalisation would touch every page it shares with its parent.

    SIGTERM is blocked when this is called: one that comes early waits until there is a handler for it."""
    os._exit(play(order, channel))


def play(order: Order, channel: Channel) -> int:
    """Run the job to the end of its process; the exit code."""
    install(channel)
    context = WorkerContext(order, channel)
    stop = _Stop(context)
    processes.handle_signal(signal.SIGTERM, stop)
    processes.unblock_signal(signal.SIGTERM)
    return _teardown(channel, _perform(order, channel, context, stop))


def _perform(order: Order, channel: Channel, context: WorkerContext, stop: _Stop) -> int:
    try:
        try:
            mark("before:job")
            value = _value(order, channel, context, stop)
            mark("after:job")
        finally:
            stop.over = True
        _record_result(channel, context, value)
        mark("after:result")
        return 0
    except JobCancelled:
        return _STOPPED
    except SystemExit as error:
        channel.record(40, f"the job called sys.exit({'' if error.code is None else repr(error.code)}) and has no result")
        return error.code if isinstance(error.code, int) else 1 if error.code else 0
    except OutputError as error:
        _record_failure(channel, error, cause="output", retry=False, stored=False)
    except ArtifactNotStored as error:
        _record_failure(channel, error, cause="output")
    except ContainerFailed as error:
        _record_container(channel, error)
        return error.exit_code
    except Unusable as error:
        _record_failure(channel, error.__cause__ or error, cause="input", retry=False)
    except BaseException as error:
        if context.cancelled and type(error).__name__ == "CancelledError":
            return _STOPPED
        _record_failure(channel, error, retry=not isinstance(error, PermanentError))
    return 1


def _value(order: Order, channel: Channel, context: WorkerContext, stop: _Stop) -> Any:
    info, instance, app = _prepare(order)
    if order.service is not None:
        from klassd.workflows.worker.serving import ensure_free

        ensure_free(order)
    services, close = _services(info, app)
    if order.source not in known:
        channel.send(b"I", ordered=False)
    pid = os.getpid()
    try:
        return _call(info, instance, context, services, stop)
    finally:
        if os.getpid() != pid:
            _end_forked()
        close()


def _end_forked() -> NoReturn:
    """The job forked and its child came back from ``run`` as well: there is one result, the parent's."""
    error = sys.exc_info()[1]
    if error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
    _flush()
    os._exit(0 if error is None else 1)


def _prepare(order: Order) -> tuple[JobInfo, Any, Any]:
    try:
        info = known.get(order.source) or load_job(order.source)
        return info, info.build(order.inputs), _app(order, info)
    except Exception as error:
        raise Unusable(str(error)) from error


def _app(order: Order, info: JobInfo) -> Any:
    """Who makes the services, for a job that takes any."""
    if not info.services:
        return None
    if not order.app:
        needed = ", ".join(service.__name__ for service in info.services.values())
        raise ConfigurationError(f"{info.key} takes services ({needed}), but its app provides none: add app.provide(...)")
    from klassd.workflows.app import load_app

    return load_app(order.app)


def _services(info: JobInfo, app: Any) -> tuple[dict[str, Any], Callable[[], None]]:
    if app is None:
        return {}, lambda: None
    try:
        built: tuple[dict[str, Any], Callable[[], None]] = app.build_services(info.services)
        return built
    except ConfigurationError as error:
        raise Unusable(str(error)) from error


def _call(info: JobInfo, instance: Any, context: WorkerContext, services: dict[str, Any], stop: _Stop) -> Any:
    if not info.is_async:
        return instance.run(context, **services)
    if needs_loop(info):
        return _call_on_loop(instance.run(context, **services), stop)
    return _call_without_loop(instance.run(context, **services))


def needs_loop(info: JobInfo) -> bool:
    """A coroutine that awaits nothing needs no event loop: asyncio costs 60 ms to import and doubles the price of a fork."""
    if not info.is_async or "asyncio" in sys.modules:
        return info.is_async
    from opcode import opmap

    work = info.function or getattr(info.cls, "run", None)
    code = getattr(work, "__code__", None)
    if code is None or "asyncio" in code.co_names:
        return True
    return opmap["GET_AWAITABLE"] in code.co_code[::2]


def _call_without_loop(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("the job awaited something although its run has no await; import asyncio in its module")


def _call_on_loop(coroutine: Any, stop: _Stop) -> Any:
    import asyncio

    async def main() -> Any:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        stop.cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await coroutine
        finally:
            stop.over = True

    return asyncio.run(main())


# -- what it came to --------------------------------------------------------------------------------------------


def _record_result(channel: Channel, context: WorkerContext, value: object) -> None:
    """The supervisor works out sizes and checksums: here each further function costs page faults."""
    result = b"" if value is None else output_bytes(value, "the return value")
    if context.outputs:
        _record_outputs(channel, context.outputs)
    if len(result) > SHORT:
        channel.value("", result)
    channel.send(b"R", result if len(result) <= SHORT else b"")


def _record_outputs(channel: Channel, outputs: dict[str, bytes]) -> None:
    size = sum(len(json.dumps(name)) + _ENTRY for name in outputs)
    if size > _MANIFEST:
        raise OutputError(f"{len(outputs)} outputs are too many for one record: put them together in one")
    for name, encoded in outputs.items():
        channel.value(name, encoded)


def _record_failure(
    channel: Channel, error: BaseException, *, retry: bool = True, cause: str | None = None, stored: bool = True
) -> None:
    text = describe(error)
    if text:
        channel.record(40, text)
    body = {
        "type": type(error).__name__,
        "message": _text(error)[:1000],
        "traceback": _last_lines(text, 1200),
        "retry": retry,
        "cause": cause,
        "stored": stored,
    }
    channel.send(b"X", json.dumps(body).encode("ascii"))


def _record_container(channel: Channel, error: ContainerFailed) -> None:
    """Its console has what it said itself, and no line of ours."""
    body = {"type": str(error)[:1000], "message": "", "traceback": "", "retry": True, "cause": error.cause, "stored": True}
    channel.send(b"X", json.dumps(body).encode("ascii"))


def describe(error: BaseException) -> str:
    """The traceback from the user's own first frame on; only the sentence where no code of theirs is to blame."""
    if isinstance(error, InvalidInput | OutputError):
        return str(error)
    from traceback import TracebackException

    ours = isinstance(error, KlassdError)
    trace = TracebackException.from_exception((error.__cause__ if ours else None) or error)
    while trace.stack and _is_ours(trace.stack[0].filename):
        trace.stack.pop(0)
    if trace.stack:
        return "".join(trace.format()).rstrip("\n")
    return str(error) if ours else "".join(trace.format_exception_only()).rstrip("\n")


def _is_ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, "<frozen importlib")) or os.path.dirname(filename).endswith("importlib")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:
        return f"its text cannot be had: {another!r}"


def _last_lines(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    tail = text[-most:]
    return tail[tail.find("\n") + 1 :]


def _teardown(channel: Channel, code: int) -> int:
    """What a normal end of an interpreter does for user code, and nothing more."""
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
    except BaseException as error:
        channel.record(40, f"teardown failed: {describe(error)}")
        code = code or 1
    _flush()
    if _has_children():
        channel.send(b"K", ordered=False)
    return code


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def _has_children() -> bool:
    """Whether anything it started still lives: as a subreaper it is the parent of whatever was orphaned, too."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class _Stop:
    """The handler of SIGTERM: cancels the task of a coroutine, raises in the main thread of any other job."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.cancel: Callable[[], object] | None = None
        self.over = False  # run has returned: there is nothing to interrupt any more

    def __call__(self, number: int, frame: Any) -> None:
        again, self._context.cancelled = self._context.cancelled, True
        if again or self.over:
            return
        if self.cancel is None:
            raise JobCancelled("this execution was asked to stop")
        self.cancel()

"""The job's own process, from the fork to ``os._exit``."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import zlib
from collections.abc import Callable
from typing import Any, NoReturn

from klassd.workflows.errors import InvalidInput, JobCancelled, KlassdError, PermanentError
from klassd.workflows.job import JobInfo, load_job
from klassd.workflows.order import Order
from klassd.workflows.worker.channel import Channel
from klassd.workflows.worker.context import OutputError, WorkerContext, output_bytes
from klassd.workflows.worker.stdio import install

SHORT = 1024  # bytes of a return value that goes along with the message that there is one
_STARTS_PROCESSES = frozenset({"subprocess.Popen", "os.posix_spawn", "os.system", "os.fork", "os.forkpty"})


class Unusable(Exception):
    """The job cannot be run at all: nothing of it was started, and trying again cannot help."""


def run(order: Order, channel: Channel) -> NoReturn:
    """Run the job and never return: the interpreter's own finalisation would touch every page it shares with its parent."""
    install(channel)
    sys.addaudithook(_note_processes(channel))
    context = WorkerContext(order, channel)
    signal.signal(signal.SIGTERM, _on_stop(context))
    code = _teardown(channel, _perform(order, channel, context))
    os._exit(code)


def _perform(order: Order, channel: Channel, context: WorkerContext) -> int:
    try:
        info, instance, services, close = _prepare(order)
        try:
            value = _call(info, instance, context, services)
        finally:
            close()
        _record_result(channel, context, value)
        return 0
    except JobCancelled:
        return 1
    except SystemExit as error:
        channel.record(40, f"the job called sys.exit({'' if error.code is None else repr(error.code)}) and has no result")
        return error.code if isinstance(error.code, int) else 1 if error.code else 0
    except OutputError as error:
        _record_failure(channel, error, cause="output", retry=False, stored=False)
    except Unusable as error:
        _record_failure(channel, error.__cause__ or error, cause="input", retry=False)
    except BaseException as error:
        if context.cancelled and type(error).__name__ == "CancelledError":
            return 1
        _record_failure(channel, error, retry=not isinstance(error, PermanentError))
    return 1


def _prepare(order: Order) -> tuple[JobInfo, Any, dict[str, Any], Callable[[], None]]:
    try:
        info = load_job(order.source)
        instance = info.build(order.inputs)
        services, close = _services(order, info)
    except Exception as error:
        raise Unusable(str(error)) from error
    return info, instance, services, close


def _services(order: Order, info: JobInfo) -> tuple[dict[str, Any], Callable[[], None]]:
    if not info.services:
        return {}, lambda: None
    if not order.app:
        needed = ", ".join(service.__name__ for service in info.services.values())
        raise KlassdError(f"{info.key} takes services ({needed}), but its app provides none: add app.provide(...)")
    from klassd.workflows.app import load_app

    return load_app(order.app).build_services(info.services)


def _call(info: JobInfo, instance: Any, context: WorkerContext, services: dict[str, Any]) -> Any:
    if not info.is_async:
        return instance.run(context, **services)
    if needs_loop(info):
        return _call_on_loop(instance, context, services)
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


def _call_on_loop(instance: Any, context: WorkerContext, services: dict[str, Any]) -> Any:
    import asyncio

    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            context.cancelled = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        if context.cancelled:
            task.cancel()
        return await instance.run(context, **services)

    return asyncio.run(main())


# -- what it came to --------------------------------------------------------------------------------------------


def _record_result(channel: Channel, context: WorkerContext, value: object) -> None:
    result = output_bytes(value, "the return value")
    short = len(result) <= SHORT
    outputs = {"": result, **context.outputs}
    for name, encoded in outputs.items():
        if name or not short:
            channel.value(name, encoded)
    manifest = {name: (len(encoded), f"{zlib.crc32(encoded):08x}") for name, encoded in outputs.items()}
    body: dict[str, object] = {"outputs": manifest, "forked": channel.forked}
    if short:
        body["value"] = result.decode()
    channel.send(b"R", json.dumps(body).encode("ascii"))


def _record_failure(
    channel: Channel, error: BaseException, *, retry: bool, cause: str | None = None, stored: bool = True
) -> None:
    text = describe(error)
    if text:
        channel.record(40, text)
    body = {
        "type": type(error).__name__,
        "message": str(error)[:1000],
        "traceback": text[-1200:],
        "retry": retry,
        "cause": cause,
        "stored": stored,
        "forked": channel.forked,
    }
    channel.send(b"X", json.dumps(body).encode("ascii"))


def describe(error: BaseException) -> str:
    """The traceback from the user's own first frame on; only the sentence where no code of theirs is to blame."""
    if isinstance(error, InvalidInput | OutputError):
        return str(error)
    from traceback import TracebackException

    shown: BaseException = error.__cause__ if isinstance(error, PermanentError) and error.__cause__ else error
    trace = TracebackException.from_exception(shown)
    here = os.path.dirname(__file__)
    while trace.stack and (trace.stack[0].filename.startswith(here) or "importlib" in trace.stack[0].filename):
        trace.stack.pop(0)
    return "".join(trace.format()).rstrip("\n")


def _teardown(channel: Channel, code: int) -> int:
    """What a normal end of an interpreter does for user code, and nothing more."""
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
    except BaseException as error:
        channel.record(40, f"teardown failed: {describe(error)}")
        code = code or 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    return code


# -- signals and watching ---------------------------------------------------------------------------------------


def _on_stop(context: WorkerContext) -> Callable[[int, Any], None]:
    def handler(number: int, frame: Any) -> None:
        if not context.cancelled:
            context.cancelled = True
            raise JobCancelled("this execution was asked to stop")

    return handler


def _note_processes(channel: Channel) -> Callable[[str, tuple[Any, ...]], None]:
    """Only a job that started processes can leave some behind: the others are spared the search."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STARTS_PROCESSES:
            channel.forked = True

    return hook

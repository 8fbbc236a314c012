"""Puts the parts together: the only place that sees store, executor, engine and settings at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from klassd.workflows import __version__, plugins
from klassd.workflows.artifacts.names import scope_of_run
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.artifacts.urls import shown
from klassd.workflows.client import Client
from klassd.workflows.errors import ArtifactError, ConfigurationError, KlassdError
from klassd.workflows.model.run import Run
from klassd.workflows.ports import Executor, Store
from klassd.workflows.pruning import DeleteArtifacts, keep_artifacts
from klassd.workflows.settings import Settings
from klassd.workflows.system import SystemClock, SystemIds, TaskSpawner

if TYPE_CHECKING:
    from klassd.workflows.engine.scheduler import Scheduler
    from klassd.workflows.engine.sweeper import Sweeper
    from klassd.workflows.server import Readiness, Server

CONDITION_SECONDS = 1.0  # a condition's function decides; it does not work


def make_store(url: str) -> Store:
    store: Store = plugins.load("store", plugins.scheme(url, "store"))(url)
    return store


def make_client(
    store: Store, app: str = "", *, close_store: bool = True, delete_artifacts: DeleteArtifacts = keep_artifacts
) -> Client:
    return Client(store, SystemClock(), SystemIds(), TaskSpawner(), app, close_store, delete_artifacts)


def make_executor(settings: Settings) -> Executor:
    factory = plugins.load("executor", settings.executor)
    executor: Executor = factory.from_settings(settings) if hasattr(factory, "from_settings") else factory()
    return executor


async def check_artifacts(url: str, executor: Executor) -> None:
    """Have a store tell now, and not in the first job, that it cannot be used. Raises ``ConfigurationError``.

    A pod has credentials and a network of its own, so only the URL is looked at for an executor elsewhere.
    """
    check = getattr(store_for(url), "check", None)
    if check and getattr(executor, "workers_are_here", False):
        await asyncio.to_thread(check)


def artifact_deleter(settings: Settings) -> DeleteArtifacts:
    """Removes what runs have put into the artifact store of these settings, away from the event loop."""
    if settings.keep_artifacts:
        return keep_artifacts

    async def delete(runs: Sequence[Run]) -> None:
        scopes = [scope_of_run(run.id, run.tenant) for run in runs]
        await _aside(lambda: _delete(settings.artifacts_url, scopes))

    return delete


def _delete(url: str, scopes: Sequence[str]) -> None:
    try:
        store = store_for(url)
    except ConfigurationError as error:
        raise ArtifactError(str(error)) from error
    for scope in scopes:
        try:
            store.delete(scope)
        except ArtifactError:
            raise
        except Exception as error:  # of a store that another package brings
            raise ArtifactError(f"{scope!r} could not be removed from {shown(url)}: {error!r}") from error


async def _aside(call: Callable[[], None]) -> None:
    """On a thread that the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        failed: BaseException | None = None
        try:
            call()
        except Exception as error:
            failed = error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(tell, failed)

    threading.Thread(target=work, name="artifacts", daemon=True).start()
    await done


def make_sweeper(settings: Settings, store: Store) -> Sweeper | None:
    from klassd.workflows.engine.sweeper import Sweeper

    if settings.retention is None:
        return None
    return Sweeper(store, SystemClock(), settings.retention, artifact_deleter(settings))


def make_scheduler(
    settings: Settings,
    store: Store,
    executor: Executor,
    *,
    only: Sequence[str] | None = None,
    queues: Sequence[str] | None = None,
) -> Scheduler:
    from klassd.workflows.engine.scheduler import Scheduler  # commands that only look do without: 25 ms

    return Scheduler(
        store,
        executor,
        clock=SystemClock(),
        ids=SystemIds(),
        spawner=TaskSpawner(),
        call=call_condition,
        lease=settings.lease,
        queues=queues,
        queue_caps=settings.queues,
        only=only,
        config=settings.config,
        resources=settings.needs,
        artifacts=settings.artifacts_url,
        version=__version__,
        sweeper=make_sweeper(settings, store) if only is None else None,  # else it is here for these runs, and soon gone
    )


def make_server(store: Store, host: str, port: int) -> tuple[Server, Readiness]:
    """What listens already and answers once it is entered, and what it says of readiness."""
    try:
        from klassd.workflows.server import Readiness, Server, make_asgi
    except ImportError as error:
        raise ConfigurationError(
            f"there is no HTTP server: {error}. Install what it needs: pip install 'klassd-workflows[server]'"
        ) from error
    readiness = Readiness(store, SystemClock())
    return Server(make_asgi(store, readiness), host, port), readiness


def call_condition(function: str, arguments: dict[str, Any]) -> object:
    """Call a condition's function, ``module:name``, and give up on it after ``CONDITION_SECONDS``.

    On a thread, because nothing else can be left behind when it never returns. One that loops is ended there, for it would take
    its share of the scheduler's time for ever; one that waits in a call to the system goes when that returns.
    """
    module, _, name = function.partition(":")
    target = getattr(import_module(module), name, None)
    if not callable(target):
        raise ConfigurationError(f"the condition {function!r} is no function")
    result: list[object] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            result.append(target(**arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, name=f"condition {function}", daemon=True)
    thread.start()
    thread.join(CONDITION_SECONDS)
    if errors and isinstance(errors[0], Exception):
        raise errors[0]
    if errors:  # sys.exit() and the like are no wish to end the scheduler
        raise KlassdError(f"{type(errors[0]).__name__}: {errors[0]}") from errors[0]
    if not result:
        _interrupt(thread)
        raise TimeoutError(f"it did not answer within {CONDITION_SECONDS:g} s")
    return result[0]


def _interrupt(thread: threading.Thread) -> None:
    """Raise SystemExit in it at its next step in Python: a thread that ends with it says nothing."""
    import ctypes

    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))

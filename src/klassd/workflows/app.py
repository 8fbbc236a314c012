"""``App``: one definition of jobs, workflows and services for host and worker."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from klassd.workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from klassd.workflows.catalog import Catalog
    from klassd.workflows.client import Client
    from klassd.workflows.engine.scheduler import Scheduler
    from klassd.workflows.model.description import Description
    from klassd.workflows.model.run import Execution
    from klassd.workflows.ports import Executor, Store
    from klassd.workflows.settings import Settings

T = TypeVar("T")


class App:
    """What can be run, and where it is kept and runs.

    ``jobs``: job classes, ``@job`` functions, workflows, modules or packages (or their names) to discover jobs in.
    ``store``, ``artifacts``: URLs; ``executor``: a name or an executor; ``retention``: how long runs are kept after their
    end, "90d" where nobody says it. ``KLASSD_*`` variables and ``klassd.toml`` are stronger than what stands here, so that
    the same code moves to a server without an edit.

    Light: the worker makes one too. Nothing is imported or opened before it is needed.
    """

    def __init__(
        self,
        jobs: Iterable[object] = (),
        *,
        store: str | None = None,
        artifacts: str | None = None,
        executor: str | Executor | None = None,
        concurrency: int | None = None,
        config: Mapping[str, Any] | None = None,
        queues: Mapping[str, int] | None = None,
        retention: str | None = None,
    ) -> None:
        self._things = list(jobs)
        self._code: dict[str, Any] = {
            "store": store,
            "artifacts": artifacts,
            "executor": executor if isinstance(executor, str) else None,
            "concurrency": concurrency,
            "config": dict(config) if config is not None else None,
            "queues": dict(queues) if queues is not None else None,
            "retention": retention,
        }
        self._executor = None if isinstance(executor, str) else executor
        self._factories: dict[type, Callable[[], Any]] = {}
        self._catalog: Catalog | None = None
        self._ref: str | None = None

    # -- what can be run ----------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """Its jobs and workflows by name."""
        if self._catalog is None:
            from klassd.workflows.catalog import Catalog

            self._catalog = Catalog(self._things)
        return self._catalog

    def gathered(self) -> tuple[Catalog, list[str]]:
        """As ``catalog``, of what can be used; and a sentence for each thing that cannot."""
        from klassd.workflows.catalog import Catalog

        return Catalog.gathered(self._things)

    @overload
    def provide(self, service: type[T], factory: Callable[[], Iterable[T]]) -> None: ...

    @overload
    def provide(self, service: type[T], factory: Callable[[], T]) -> None: ...

    def provide(self, service: type[T], factory: Callable[[], Any]) -> None:
        """Say how to make a service that jobs take as a further parameter of ``run``.

        Built per execution, only for the jobs that take it. A generator function may clean up after its ``yield``.
        """
        self._factories[service] = factory

    def build_services(self, services: Mapping[str, type]) -> tuple[dict[str, Any], Callable[[], None]]:
        """The values for the parameters named, and what closes them again. Raises ``ConfigurationError``."""
        with ExitStack() as stack:
            values = {name: self._build(service, stack) for name, service in services.items()}
            return values, stack.pop_all().close

    def _build(self, service: type, stack: ExitStack) -> Any:
        factory = self._factories.get(service)
        if factory is None:
            known = ", ".join(sorted(each.__name__ for each in self._factories)) or "none"
            raise ConfigurationError(
                f"no service {service.__name__!r} is provided (provided: {known}); add app.provide({service.__name__}, factory)"
            )
        if inspect.isgeneratorfunction(factory):
            return stack.enter_context(contextmanager(factory)())
        return factory()

    @property
    def ref(self) -> str:
        """``module:attribute`` under which a worker finds this app; empty when it stands in no importable module."""
        if self._ref is None:
            self._ref = _find(self)
        return self._ref

    @ref.setter
    def ref(self, ref: str) -> None:
        self._ref = ref

    # -- where it is kept and runs ------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        from klassd.workflows.settings import load

        return load(self._code)

    def store(self) -> Store:
        """A new, unopened store as the settings say."""
        from klassd.workflows.composition import make_store

        return make_store(self.settings.store_url)

    def executor(self) -> Executor:
        """The one that was given, else a new, unopened one as the settings say."""
        from klassd.workflows.composition import make_executor

        return self._executor or make_executor(self.settings)

    async def describe(self, execution: Execution) -> Description | None:
        """The execution as its executor sees it at this moment: state, conditions, events. None: it was launched somewhere
        else than this app would, or its executor tells no more. Raises ``OSError`` where there is no answer."""
        from klassd.workflows.ports import Describes

        executor = self.executor()
        if execution.place != executor.place or not isinstance(executor, Describes):
            return None
        return await executor.describe(execution)

    @asynccontextmanager
    async def client(self, store: Store | None = None) -> AsyncIterator[Client]:
        """``async with app.client() as client``: enqueue, look, stop. ``store``: one to share with a scheduler here."""
        from klassd.workflows.composition import artifact_deleter, make_client

        deleter = artifact_deleter(self.settings)
        opened = make_client(store or self.store(), self._service_ref(), close_store=store is None, delete_artifacts=deleter)
        async with opened as client:
            yield client

    @asynccontextmanager
    async def scheduler(
        self, store: Store | None = None, *, only: Sequence[str] | None = None, queues: Sequence[str] | None = None
    ) -> AsyncIterator[Scheduler]:
        """``async with app.scheduler()``: runs what is enqueued while inside, in the background of this event loop.

        ``only``: just these runs; ``queues``: just runs of these queues. Leaving it lets go of the runs for another
        scheduler; jobs under way go on undisturbed.
        """
        from klassd.workflows.composition import check_artifacts, make_scheduler

        settings = self.settings
        executor = self.executor()
        await check_artifacts(settings.artifacts_url, executor)
        own = store or self.store()
        await own.open()
        try:
            async with make_scheduler(settings, own, executor, only=only, queues=queues) as scheduler:
                yield scheduler
        finally:
            if store is None:
                await own.close()

    def _service_ref(self) -> str:
        """The worker needs this app only for its services; without any, definitions do not depend on where it stands."""
        if not self._factories:
            return ""
        if not self.ref:
            raise ConfigurationError(
                "an app that provides services must be a global of an importable module, for workers to find it"
            )
        return self.ref


def _find(app: App) -> str:
    """The module and global that hold this very object."""
    for name, module in list(sys.modules.items()):
        if name == "__main__":
            name = _main_name(module)
        attributes = vars(module) if name and module is not None and hasattr(module, "__dict__") else {}
        for attribute, value in list(attributes.items()):
            if value is app:
                return f"{name}:{attribute}"
    return ""


def _main_name(module: Any) -> str:
    """The name a script can be imported under: of ``python -m``, or of a file in the import path."""
    if module.__spec__ is not None:
        return str(module.__spec__.name)
    path = os.path.abspath(getattr(module, "__file__", None) or "")
    here = os.path.dirname(path)
    return os.path.splitext(os.path.basename(path))[0] if here in map(os.path.abspath, sys.path) else ""


def load_app(ref: str) -> App:
    """The app that ``module:attribute`` names. Raises ``ConfigurationError`` with what was found instead."""
    from importlib import import_module

    module_name, _, attribute = ref.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"the app is named {ref!r}: expected MODULE:ATTRIBUTE, such as hello:app")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise ConfigurationError(
                f"there is no module {error.name!r} to import {ref!r} from, in {os.getcwd()} or installed"
            ) from None
        raise
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        apps = sorted(name for name, value in vars(module).items() if isinstance(value, App))
        found = "is not there" if app is None else f"is a {type(app).__name__}, not an App"
        hint = f"; there is {module_name}:{apps[0]}" if apps else f"; add app = App(jobs=[...]) to {module_name}"
        raise ConfigurationError(f"{ref!r}: {attribute!r} {found}{hint}")
    app.ref = ref
    return app

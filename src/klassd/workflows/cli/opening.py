"""Opens what a command needs: the app with its store, or the store alone."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from klassd.workflows.app import App
from klassd.workflows.cli.problems import Problem
from klassd.workflows.cli.target import canonical, load_app
from klassd.workflows.client import Client
from klassd.workflows.composition import make_client, make_executor, make_store
from klassd.workflows.ports import Executor, Store
from klassd.workflows.pruning import DeleteArtifacts, keep_artifacts
from klassd.workflows.settings import Settings, load

NO_APP = "name it (MODULE:APP, such as hello:app for app = App(...) in hello.py), or set KLASSD_APP, or app in klassd.toml"


def default_app() -> str | None:
    return load().app


def open_app(spec: str | None) -> App:
    """The app that is named, or the one the settings name. Workers find it under the same name."""
    named = spec or default_app()
    if not named:
        raise Problem("no app was named", NO_APP)
    app = load_app(named)
    if ":" in canonical(named):
        app.ref = canonical(named)
    return app


@asynccontextmanager
async def app_store(app: App, args: Namespace) -> AsyncIterator[Store]:
    """The store of an app, or that of ``--store``; to share between client and scheduler."""
    store = make_store(args.store) if args.store else app.store()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def reading_client(args: Namespace, delete_artifacts: DeleteArtifacts = keep_artifacts) -> AsyncIterator[Client]:
    """For commands that need no app. Refuses to look into a store that is not there yet, instead of making an empty one."""
    url = reading_url(args)
    _must_exist(url)
    async with make_client(make_store(url), delete_artifacts=delete_artifacts) as client:
        yield client


def app_executor() -> Executor:
    """As the settings say, or the app that they name."""
    settings = load()
    return load_app(settings.app).executor() if settings.app else make_executor(settings)


def reading_url(args: Namespace) -> str:
    """``--store``, else what the settings say, else what the app that they name says, else the default."""
    if args.store:
        return str(args.store)
    return reading_settings().store_url


def reading_settings() -> Settings:
    settings = load()
    if settings.app and not (settings.store and settings.artifacts):
        return load_app(settings.app).settings
    return settings


def _must_exist(url: str) -> None:
    if url.startswith("memory:"):
        raise Problem(
            "a store in memory can only be looked into by the process that has it", "use a file: --store sqlite:///jobs.db"
        )
    path = sqlite_path(url)
    if path and not os.path.exists(path):
        raise Problem(
            f"there is no store yet at {os.path.relpath(path) if path.startswith(os.getcwd()) else path}",
            "it is made by the first run: klassd run MODULE:APP NAME",
            "or name another one: --store sqlite:///path/to/jobs.db, or KLASSD_STORE",
        )


def sqlite_path(url: str) -> str | None:
    """The file of a ``sqlite:///`` URL; None for other stores."""
    prefix = "sqlite:///"
    return os.path.abspath(url.removeprefix(prefix)) if url.startswith(prefix) else None

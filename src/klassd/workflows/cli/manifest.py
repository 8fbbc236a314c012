"""``klassd manifest``: what a cluster needs to have a scheduler, for ``kubectl apply``."""

from __future__ import annotations

import sys
import tomllib
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from klassd.workflows.cli.document import emit
from klassd.workflows.cli.opening import NO_APP, default_app
from klassd.workflows.cli.problems import OK, Problem
from klassd.workflows.cli.target import canonical

if TYPE_CHECKING:
    from klassd.workflows.deploy.installation import Installation


def command(args: Namespace) -> int:
    _must_have_extra()
    from klassd.workflows.deploy.manifest import manifest
    from klassd.workflows.deploy.writing import kustomization, stream, write

    documents = manifest(_installation(args))
    if args.kustomize:
        _into(args.kustomize, lambda: write(kustomization(documents), args.kustomize))
        print(args.kustomize)
    elif args.json:
        emit({"apiVersion": "v1", "kind": "List", "items": documents})
    else:
        sys.stdout.write(stream(documents))
    return OK


def _must_have_extra() -> None:
    try:
        import klassd.workflows.deploy.manifest
        import klassd.workflows.deploy.writing  # noqa: F401
    except ImportError as error:
        raise Problem(
            f"klassd manifest needs {error.name}, which is not installed", "pip install 'klassd-workflows[kubernetes]'"
        ) from error


def _installation(args: Namespace) -> Installation:
    from klassd.workflows.deploy.installation import Installation

    config = _config(args.config) if args.config else None
    return Installation(
        image=args.image,
        app=_app(args.app, config),
        name=args.name,
        namespace=args.namespace,
        create_namespace=args.create_namespace,
        store=args.store,
        artifacts=args.artifacts,
        secrets=tuple(args.secret),
        config=config,
        workdir=args.workdir.rstrip("/"),
        storage=args.storage,
        storage_class=args.storage_class,
        replicas=args.replicas,
        open_egress=args.open_egress,
        kubernetes=args.kubernetes,
    )


def _app(named: str | None, config: str | None) -> str | None:
    """It is not imported: the code may be in the image only."""
    if named:
        return canonical(named)
    if config and "app" in tomllib.loads(config):
        return None
    found = default_app()
    if not found:
        raise Problem("no app was named", NO_APP)
    return canonical(found)


def _config(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        tomllib.loads(text)
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Problem(f"{path} is not valid TOML: {error}") from error
    return text


def _into(directory: str, write: Any) -> None:
    try:
        write()
    except OSError as error:
        raise Problem(f"{directory} cannot be written: {error.strerror}") from error

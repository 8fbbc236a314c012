"""What ``run`` and ``enqueue`` are asked for: an app, a job or workflow of it, and inputs."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from klassd.workflows.app import App
from klassd.workflows.catalog import Catalog
from klassd.workflows.cli.inputs import read_inputs, split_words
from klassd.workflows.cli.opening import default_app, open_app
from klassd.workflows.cli.problems import Problem, did_you_mean, listed
from klassd.workflows.client import Client
from klassd.workflows.errors import InvalidInput, KlassdError, UnknownName
from klassd.workflows.job import JobInfo
from klassd.workflows.workflow import Workflow


@dataclass(frozen=True)
class Request:
    app: App
    name: str
    work: JobInfo | Workflow
    inputs: dict[str, Any]


def read_request(args: Namespace) -> Request:
    spec, name, words = split_words(args.words, default_app())
    app = open_app(spec)
    catalog = app_catalog(app)
    if not name:
        raise Problem("no job or workflow was named", _known(catalog))
    work = _find(catalog, name)
    fields, defs = _fields(work)
    inputs = read_inputs(words, args.input, fields, defs, name)
    _check(work, inputs, name)
    return Request(app=app, name=name, work=work, inputs=inputs)


def app_catalog(app: App) -> Catalog:
    try:
        return app.catalog
    except (TypeError, KlassdError) as error:
        raise Problem(f"the app's jobs cannot be used: {error}") from error


def _find(catalog: Catalog, name: str) -> JobInfo | Workflow:
    try:
        return catalog.find(name)
    except UnknownName as error:
        several = f"there are {len(error.near)} jobs of that name: {', '.join(error.near)}" if error.kind == "job" else ""
        raise Problem(
            f"there is no job or workflow named {name!r}",
            several or did_you_mean(name, [*catalog.names(), *catalog.jobs]),
            _known(catalog),
        ) from None


def _known(catalog: Catalog) -> str:
    names = catalog.names()
    return f"the app has: {listed(names)}" if names else "the app has no jobs; add some: App(jobs=[...])"


def _fields(work: JobInfo | Workflow) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schema of each input, and the named schemas they refer to."""
    if isinstance(work, JobInfo):
        schema = work.schema()
        return schema.get("properties", {}), schema.get("$defs", {})
    params = work.definition().params
    return params, {name: each for schema in params.values() for name, each in schema.get("$defs", {}).items()}


def _check(work: JobInfo | Workflow, inputs: dict[str, Any], name: str) -> None:
    """Wrong inputs are told before anything is stored."""
    try:
        if isinstance(work, JobInfo):
            work.build(inputs)
        else:
            work.check_params(inputs)
    except InvalidInput as error:
        raise Problem(f"{name} cannot be given that", *error.problems) from None


async def enqueue(client: Client, request: Request, args: Namespace) -> str:
    """Store it as a run; its id."""
    said: dict[str, Any] = {"tags": args.tag, "tenant": args.tenant}
    for option, word in (("key", "unique_key"), ("delay", "delay"), ("queue", "queue"), ("priority", "priority")):
        if getattr(args, option, None) is not None:
            said[word] = getattr(args, option)
    if isinstance(request.work, JobInfo):
        return await client.enqueue(request.work.build(request.inputs), **said)
    return await client.enqueue(request.work, params=request.inputs, **said)

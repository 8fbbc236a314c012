"""``klassd artifacts``: list the artifacts of a run, or copy them to where they can be opened."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from klassd.workflows import plugins
from klassd.workflows.artifacts import Artifact, ArtifactStore
from klassd.workflows.artifacts.referring import artifacts_in
from klassd.workflows.cli.document import emit
from klassd.workflows.cli.opening import reading_client, reading_settings
from klassd.workflows.cli.problems import FAILED, OK, Problem, did_you_mean
from klassd.workflows.cli.style import BOLD, DIM, paint_for, size, table
from klassd.workflows.client import RunView


@dataclass(frozen=True)
class Found:
    node: str
    index: int
    attempt: int
    artifact: Artifact[Any]
    path: str | None  # where the file lies, for a store of files

    @property
    def name(self) -> str:
        return self.artifact.key.rpartition("/")[2]


def command(args: Namespace) -> int:
    view = asyncio.run(_view(args))
    url = args.artifacts or reading_settings().artifacts_url
    found = artifacts_of(view, url)
    if args.name:
        found = _named(found, args.name)
    if args.to:
        return _copy(found, open_artifacts(url), args.to, args.json)
    if args.json:
        emit({"run": view.run.id, "artifacts": [_document(each) for each in found]})
    else:
        _list(found)
    return OK


async def _view(args: Namespace) -> RunView:
    async with reading_client(args) as client:
        return await client.view(await client.resolve_id(args.run))


def artifacts_of(view: RunView, url: str) -> list[Found]:
    """Every artifact that an output of the run names, once, in the order of the nodes."""
    found: dict[str, Found] = {}
    for node in view.nodes:
        for each in node.executions:
            for value in artifacts_in([each.output, each.outputs]):
                artifact = msgspec.convert(value, Artifact[Any])
                found.setdefault(artifact.key, Found(each.node, each.index, each.attempt, artifact, _path(url, artifact.key)))
    return list(found.values())


def open_artifacts(url: str) -> ArtifactStore:
    scheme = urlsplit(url).scheme or "file"
    store: ArtifactStore = plugins.load("artifacts", scheme)(url)
    return store


def _path(url: str, key: str) -> str | None:
    parts = urlsplit(url)
    return os.path.join(unquote(parts.path), key) if parts.scheme in ("", "file") else None


def _named(found: list[Found], name: str) -> list[Found]:
    fitting = [each for each in found if name in (each.name, each.artifact.key)]
    if not fitting:
        names = sorted({each.name for each in found})
        raise Problem(
            f"the run has no artifact named {name!r}", did_you_mean(name, names), f"it has: {', '.join(names) or 'none'}"
        )
    return fitting


def _copy(found: list[Found], store: ArtifactStore, to: str, as_json: bool) -> int:
    if not found:
        raise Problem("the run has no artifact to copy", code=FAILED)
    if to == "-":
        return _to_standard_output(found, store)
    targets = _targets(found, to)
    for each, target in zip(found, targets, strict=True):
        copy_artifact(store, each.artifact, target)
        if as_json:
            emit({**_document(each), "path": target})
        else:
            print(target)
    return OK


def _to_standard_output(found: list[Found], store: ArtifactStore) -> int:
    if len(found) > 1:
        raise Problem(f"there are {len(found)} artifacts: name one to write it to standard output")
    with store.open(found[0].artifact) as source:
        shutil.copyfileobj(source, sys.stdout.buffer)
    sys.stdout.flush()
    return OK


def _targets(found: Sequence[Found], to: str) -> list[str]:
    """A file for one artifact, files of a directory otherwise; of two with one name each gets its node in front."""
    if len(found) == 1 and not os.path.isdir(to) and not to.endswith(os.sep):
        return [to]
    names = [each.name for each in found]
    unique = [
        each.name if names.count(each.name) == 1 else f"{each.node}-{each.index}-{each.attempt}-{each.name}" for each in found
    ]
    return [os.path.join(to, name) for name in unique]


def copy_artifact(store: ArtifactStore, artifact: Artifact[Any], target: str) -> None:
    """Whole and checked, or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    partial = f"{target}.part"
    try:
        with store.open(artifact) as source, open(partial, "wb") as out:
            shutil.copyfileobj(source, out)
        os.replace(partial, target)
    except OSError as error:
        raise Problem(f"{target} cannot be written: {error.strerror}", code=FAILED) from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _document(found: Found) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(found.artifact)
    return {"name": found.name, "node": found.node, "index": found.index, "attempt": found.attempt, **said, "path": found.path}


def _list(found: list[Found]) -> None:
    paint = paint_for()
    if not found:
        print(paint("the run has no artifacts", DIM))
        return
    rows = [
        (each.name, each.node, size(each.artifact.size), each.artifact.media_type, each.path or each.artifact.key)
        for each in found
    ]
    for line in table(("NAME", "NODE", "SIZE", "TYPE", "WHERE"), rows, paint, ((BOLD,), (), (), (DIM,), ()), most=200):
        print(line)

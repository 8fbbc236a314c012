"""``klassd leftovers``: what executions have left in a cluster whose scheduler is gone, and its removal."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from klassd.workflows.cli.document import emit
from klassd.workflows.cli.problems import FAILED, OK, Problem, listed
from klassd.workflows.cli.style import BOLD, DIM, Paint, ago, iso, paint_for, table
from klassd.workflows.options import seconds
from klassd.workflows.settings import load

if TYPE_CHECKING:
    from klassd.workflows.executors.kubernetes.api import Api, ApiError
    from klassd.workflows.executors.kubernetes.leftovers import Leftover
    from klassd.workflows.executors.kubernetes.settings import KubernetesSettings

NAMED = 50  # rows of a page
HEAD = ("KIND", "NAME", "STATE", "NODE", "CREATED")
RIGHTS = "it takes the rights to list and delete jobs, pods, secrets and configmaps there: those of your kubeconfig"


class _Told(NamedTuple):
    namespace: str
    instance: str
    found: list[Leftover]
    left: list[Leftover]  # of these, at the end
    others: Counter[str]  # how many are of other installations, by their names
    deleted: bool


def command(args: Namespace) -> int:
    patience = _patience(args.wait)
    _must_have_extra()
    from klassd.workflows.executors.kubernetes.api import ApiError, Unavailable

    settings = _settings(args)
    try:
        return asyncio.run(_leftovers(args, settings, patience))
    except ApiError as error:
        raise _refused(error) from error
    except Unavailable as error:
        raise Problem(str(error), code=FAILED) from error


async def _leftovers(args: Namespace, settings: KubernetesSettings, patience: float) -> int:
    from klassd.workflows.executors.kubernetes.api import connect
    from klassd.workflows.executors.kubernetes.leftovers import find
    from klassd.workflows.executors.kubernetes.names import label_value

    api = connect(settings)
    try:
        every = await find(api)
        found = [each for each in every if each.instance == label_value(settings.instance)]
        left = await _removed(api, settings.instance, found, patience) if args.delete else found
    finally:
        await api.close()
    others = Counter(each.instance for each in every if each not in found)
    told = _Told(api.namespace, settings.instance, found, left, others, args.delete)
    emit(_document(told)) if args.json else print("\n".join(_page(told, paint_for())))
    return FAILED if args.delete and left and patience else OK


async def _removed(api: Api, instance: str, found: list[Leftover], patience: float) -> list[Leftover]:
    """What is there still."""
    from klassd.workflows.executors.kubernetes.leftovers import remove, schedulers, still_there

    if running := await schedulers(api, instance):
        raise Problem(
            f"a scheduler of {instance} is still there and may start more: {listed(running)}",
            "uninstall it first: klassd manifest ... | kubectl delete --cascade=foreground -f -",
            "or cancel runs: klassd stop RUN",
        )
    await remove(api, found)
    return await still_there(api, found, patience)


def _settings(args: Namespace) -> KubernetesSettings:
    """The app is not imported: its code may be in the image only."""
    from msgspec.structs import replace

    from klassd.workflows.executors.kubernetes.settings import from_settings

    said = {"instance": args.name, "namespace": args.namespace}
    return replace(from_settings(load()), **{name: value for name, value in said.items() if value})


def _patience(text: str) -> float:
    try:
        return seconds(text, "--wait")
    except ValueError as error:
        raise Problem(str(error)) from error


def _must_have_extra() -> None:
    try:
        import klassd.workflows.executors.kubernetes.api  # noqa: F401
    except ImportError as error:
        raise Problem(
            f"klassd leftovers needs the extra kubernetes ({error})", "pip install 'klassd-workflows[kubernetes]'"
        ) from error


def _refused(error: ApiError) -> Problem:
    if error.lacking:
        return Problem(f"you may not {error.lacking}: {error.message}", RIGHTS, code=FAILED)
    return Problem(f"the Kubernetes API refuses: {error}", code=FAILED)


def _document(told: _Told) -> dict[str, Any]:
    return {
        "namespace": told.namespace,
        "installation": told.instance,
        "found": [_row(each) for each in told.found],
        "left": [_row(each) for each in told.left],
        "deleted": told.deleted,
        "others": dict(told.others),
    }


def _row(left: Leftover) -> dict[str, Any]:
    return {
        "kind": left.kind,
        "name": left.name,
        "state": left.state or None,
        "execution": left.execution,
        "node": left.node or None,
        "created": iso(left.created),
        "with": list(left.holds),
    }


def _page(told: _Told, paint: Paint) -> Iterator[str]:
    if told.left:
        rows = [(each.kind, each.name, each.state, each.node, ago(each.created, time.time())) for each in told.left[:NAMED]]
        yield from table(HEAD, rows, paint, ((), (BOLD,), (), (), (DIM,)), most=63)
        if len(told.left) > NAMED:
            yield paint(f"and {len(told.left) - NAMED:,} more: klassd leftovers --json", DIM)
        yield ""
    yield _verdict(told)
    if told.others:
        others = listed([f"{name} ({count:,})" for name, count in told.others.items()])
        yield paint(f"other installations there, which this leaves alone: {others}", DIM)


def _verdict(told: _Told) -> str:
    place = f"of {told.instance} in the namespace {told.namespace}"
    count, left = f"{len(told.found):,}", f"{len(told.left):,}"
    if not told.found:
        return f"nothing {place} is left"
    if not told.deleted:
        return f"{count} {place}; klassd leftovers --delete removes what is listed, with all that belongs to it"
    if not told.left:
        return f"removed {count} {place}, with all that belonged to them"
    return f"told {count} {place} to go, {left} still there: a pod has its grace, and more where its node is silent"

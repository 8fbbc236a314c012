"""``klassd prune``: remove runs that finished long ago, with their consoles and artifacts."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence

import msgspec

from klassd.workflows.cli.document import emit, run_head
from klassd.workflows.cli.opening import reading_client, reading_settings
from klassd.workflows.cli.problems import FAILED, OK, Problem
from klassd.workflows.cli.style import BOLD, DIM, STATES, Paint, ago, duration, paint_for, table
from klassd.workflows.composition import artifact_deleter
from klassd.workflows.errors import ArtifactError
from klassd.workflows.model.run import Run
from klassd.workflows.options import seconds
from klassd.workflows.settings import Settings
from klassd.workflows.system import SystemClock

BATCH = 50  # runs of one transaction
NAMED = 20  # rows of a page
COUNTED = 10_000  # runs looked at by --dry-run


def command(args: Namespace) -> int:
    settings = reading_settings()
    age = _age(args.older_than, settings)
    if args.dry_run:
        _show(asyncio.run(_found(args, age)), age, as_json=args.json)
        return OK
    removed = asyncio.run(_prune(args, age, _said(args, settings)))
    if args.json:
        emit({"removed": removed})
    else:
        print(f"removed {_runs(removed, age)}" if removed else _nothing(age))
    return OK


def _age(said: str | None, settings: Settings) -> float:
    if said is None and settings.retention is None:
        raise Problem("retention is 'forever', so no run is old", "say how old: klassd prune --older-than 30d")
    try:
        return seconds(said, "--older-than") if said is not None else settings.retention or 0.0
    except ValueError as error:
        raise Problem(str(error)) from error


def _said(args: Namespace, settings: Settings) -> Settings:
    stronger = {"artifacts": args.artifacts, "keep_artifacts": args.keep_artifacts}
    return msgspec.structs.replace(settings, **{name: value for name, value in stronger.items() if value})


async def _prune(args: Namespace, age: float, settings: Settings) -> int:
    removed = 0
    async with reading_client(args, artifact_deleter(settings)) as client:
        try:
            while found := await client.prune(age, BATCH):
                removed += found
        except ArtifactError as error:
            raise Problem(
                f"{removed:,} removed, the others stay: {error}",
                "--keep-artifacts leaves them where they are",
                code=FAILED,
            ) from error
    return removed


async def _found(args: Namespace, age: float) -> list[Run]:
    async with reading_client(args) as client:
        return await client.finished(age, COUNTED + 1)


def _show(runs: Sequence[Run], age: float, *, as_json: bool) -> None:
    if as_json:
        emit({"runs": [run_head(run) for run in runs[:COUNTED]], "more": len(runs) > COUNTED})
    else:
        print("\n".join(_page(runs, age, paint_for())))


def _page(runs: Sequence[Run], age: float, paint: Paint) -> list[str]:
    if not runs:
        return [_nothing(age)]
    now = SystemClock().now()
    rows = [
        (run.id, f"{STATES[run.status][0]} {run.status}", run.name, ago(run.finished_at or now, now)) for run in runs[:NAMED]
    ]
    lines = table(("RUN", "STATUS", "NAME", "FINISHED"), rows, paint, ((), (), (BOLD,), (DIM,)))
    if len(runs) > NAMED:
        lines.append(paint("and younger ones", DIM))
    count = _old(f"more than {COUNTED:,}", "runs", age) if len(runs) > COUNTED else _runs(len(runs), age)
    return [*lines, "", f"would remove {count}, with consoles and artifacts"]


def _nothing(age: float) -> str:
    return f"nothing to remove: {_old('no', 'run', age)}"


def _runs(count: int, age: float) -> str:
    return _old(f"{count:,}", "run" if count == 1 else "runs", age)


def _old(count: str, runs: str, age: float) -> str:
    return f"{count} {runs} that finished more than {duration(age)} ago" if age else f"{count} finished {runs}"

"""``klassd runs``: list runs."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence

from klassd.workflows.cli.document import emit, run_head
from klassd.workflows.cli.opening import reading_client
from klassd.workflows.cli.problems import OK
from klassd.workflows.cli.style import BOLD, DIM, STATES, ago, duration, paint_for, table
from klassd.workflows.client import Page
from klassd.workflows.model.page import RunQuery
from klassd.workflows.model.run import Run
from klassd.workflows.model.states import RunStatus
from klassd.workflows.system import SystemClock


def command(args: Namespace) -> int:
    page = asyncio.run(_page(args))
    if args.json:
        emit({"runs": [run_head(run) for run in page.items], "next": page.next})
    else:
        _show(page, filtered=bool(args.status or args.name or args.tag or args.tenant or args.after))
    return OK


async def _page(args: Namespace) -> Page[Run]:
    query = RunQuery(
        statuses=tuple(map(RunStatus, args.status)),
        name=args.name,
        tenant=args.tenant,
        tag=args.tag,
        limit=args.limit,
        after=args.after,
    )
    async with reading_client(args) as client:
        return await client.runs(query)


def _show(page: Page[Run], filtered: bool) -> None:
    paint, now = paint_for(), SystemClock().now()
    if not page.items:
        print(paint("no run fits" if filtered else "no runs yet: klassd run MODULE:APP NAME", DIM))
        return
    head = ("RUN", "STATUS", "NAME", "CREATED", "TOOK", "TAGS")
    codes: Sequence[tuple[str, ...]] = ((), (), (BOLD,), (DIM,), (), (DIM,))
    for line in table(head, [_row(run, now) for run in page.items], paint, codes):
        print(line)
    if page.next:
        print(paint(f"more: --after {page.next}", DIM))


def _row(run: Run, now: float) -> tuple[str, ...]:
    begun = run.started_at
    took = duration((run.finished_at or now) - begun) if begun is not None else _waits(run, now)
    return run.id, f"{STATES[run.status][0]} {run.status}", run.name, ago(run.created_at, now), took, ", ".join(run.tags)


def _waits(run: Run, now: float) -> str:
    return f"due in {duration(run.not_before - now)}" if run.not_before > now and not run.status.final else ""

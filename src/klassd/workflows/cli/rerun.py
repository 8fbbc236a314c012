"""``klassd rerun``: the same definition and inputs once more, as a new run."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from klassd.workflows.cli.document import emit
from klassd.workflows.cli.interrupts import Interrupts
from klassd.workflows.cli.opening import reading_client
from klassd.workflows.cli.problems import OK
from klassd.workflows.cli.watch import watch


def command(args: Namespace) -> int:
    return asyncio.run(_rerun(args))


async def _rerun(args: Namespace) -> int:
    async with reading_client(args) as client:
        run_id = await client.rerun(await client.resolve_id(args.run))
        if args.follow:
            with Interrupts() as interrupts:
                return await watch(client, run_id, args.json, interrupts, cancels=False)
    if args.json:
        emit({"id": run_id})
    else:
        print(run_id)
    return OK

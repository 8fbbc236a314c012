"""``klassd stop``: cancel a run."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from klassd.workflows.cli.document import emit
from klassd.workflows.cli.opening import reading_client
from klassd.workflows.cli.problems import OK
from klassd.workflows.cli.waits import NOBODY
from klassd.workflows.model.run import Run


def command(args: Namespace) -> int:
    run, asked, looked_after = asyncio.run(_stop(args))
    if args.json:
        emit({"id": run.id, "stopped": asked, "status": str(run.status)})
    elif not asked:
        print(f"{run.id} had ended already: {run.status}")
    elif run.status.final:
        print(f"{run.id} is {run.status}")
    else:
        print(f"{run.id} was told to stop; klassd logs -f {run.id}", *([] if looked_after else [f"  {NOBODY}"]), sep="\n")
    return OK


async def _stop(args: Namespace) -> tuple[Run, bool, bool]:
    async with reading_client(args) as client:
        run_id = await client.resolve_id(args.run)
        asked = await client.cancel(run_id)
        return await client.run(run_id), asked, await client.is_looked_after(run_id)

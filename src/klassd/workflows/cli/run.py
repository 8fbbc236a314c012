"""``klassd run``: a job or workflow in the foreground, with its console."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from klassd.workflows.cli.interrupts import Interrupts
from klassd.workflows.cli.opening import app_store
from klassd.workflows.cli.request import Request, enqueue, read_request
from klassd.workflows.cli.watch import watch


def command(args: Namespace) -> int:
    return asyncio.run(_run(read_request(args), args))


async def _run(request: Request, args: Namespace) -> int:
    app = request.app
    async with app_store(app, args) as store, app.client(store) as client:
        with Interrupts() as interrupts:
            run_id = await enqueue(client, request, args)
            async with app.scheduler(store, only=[run_id]):
                return await watch(client, run_id, args.json, interrupts)

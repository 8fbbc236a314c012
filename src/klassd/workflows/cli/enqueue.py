"""``klassd enqueue``: put a job or workflow in the queue for a scheduler."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from klassd.workflows.cli.document import emit
from klassd.workflows.cli.opening import app_store
from klassd.workflows.cli.problems import OK, Problem
from klassd.workflows.cli.request import Request, enqueue, read_request
from klassd.workflows.options import seconds


def command(args: Namespace) -> int:
    try:
        args.delay = None if args.delay is None else seconds(args.delay, "--delay")
    except ValueError as error:
        raise Problem(str(error)) from None
    run_id = asyncio.run(_enqueue(read_request(args), args))
    if args.json:
        emit({"id": run_id})
    else:
        print(run_id)
    return OK


async def _enqueue(request: Request, args: Namespace) -> str:
    async with app_store(request.app, args) as store, request.app.client(store) as client:
        return await enqueue(client, request, args)

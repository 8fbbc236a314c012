"""``klassd serve``: the scheduler in the foreground for production, with probes and an API over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from klassd.workflows.app import App
from klassd.workflows.cli.interrupts import Interrupts
from klassd.workflows.cli.log_lines import log_to_stdout
from klassd.workflows.cli.opening import app_store, open_app
from klassd.workflows.cli.problems import FAILED, INTERRUPTED, OK, listed
from klassd.workflows.cli.request import app_catalog
from klassd.workflows.cli.text import without_password
from klassd.workflows.composition import make_server

if TYPE_CHECKING:
    from klassd.workflows.server import Server

log = logging.getLogger("klassd.workflows")


def command(args: Namespace) -> int:
    app = open_app(args.app)
    names = app_catalog(app).names()
    log_to_stdout(args.json)
    log.info("app %s has %s", args.app or app.ref, listed(names) or "nothing yet: App(jobs=[...])")
    return asyncio.run(_serve(app, args))


async def _serve(app: App, args: Namespace) -> int:
    host, port = app.settings.address
    host, port = args.host or host, port if args.port is None else args.port
    async with app_store(app, args) as store, _two_signals() as interrupts:
        server, readiness = make_server(store, host, port)
        async with server, app.scheduler(store) as scheduler:
            readiness.lease_held = lambda: scheduler.holds_lease
            log.info("store %s", without_password(args.store or app.settings.store_url))
            log.info("%s has its lease; probes and API on %s", scheduler.owner, server.url)
            code = await _until_asked(interrupts, server)
            readiness.lease_held = lambda: False
            log.info("letting go of %d runs for others to take over; jobs under way go on", scheduler.kept)
    log.info("ended")
    return code


async def _until_asked(interrupts: Interrupts, server: Server) -> int:
    asked, over = asyncio.create_task(interrupts.beyond(0)), asyncio.create_task(server.over())
    await asyncio.wait({asked, over}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not over.done():
        over.cancel()
        return OK
    log.error("the HTTP server has ended", exc_info=over.exception())
    return FAILED


@asynccontextmanager
async def _two_signals() -> AsyncIterator[Interrupts]:
    """The first is for whoever waits for it; the second ends the process wherever it is."""
    with Interrupts() as interrupts:
        second = asyncio.create_task(_end_at_second(interrupts))
        try:
            yield interrupts
        finally:
            second.cancel()


async def _end_at_second(interrupts: Interrupts) -> None:
    await interrupts.beyond(1)
    log.warning("a second signal: ended at once; the lease runs out by itself")
    os._exit(INTERRUPTED)

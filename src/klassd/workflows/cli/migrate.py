"""``klassd migrate``: create or update the schema of the store. Opening a store does it; safe to repeat."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from klassd.workflows.cli.document import emit
from klassd.workflows.cli.opening import reading_url
from klassd.workflows.cli.problems import OK
from klassd.workflows.cli.text import without_password
from klassd.workflows.composition import make_store


def command(args: Namespace) -> int:
    url = reading_url(args)
    asyncio.run(_open(url))
    if args.json:
        emit({"store": without_password(url), "ready": True})
    else:
        print(f"ready: {without_password(url)}")
    return OK


async def _open(url: str) -> None:
    store = make_store(url)
    await store.open()
    await store.close()

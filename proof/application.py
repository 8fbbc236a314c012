"""A client to be killed: ``python -m proof.application STORE_URL enqueue KEY`` or ``... cancel RUN_ID``."""

from __future__ import annotations

import asyncio
import sys

from klassd.workflows.composition import make_client, make_store
from proof.jobs import fan

SIZES = [5, 2500, 0]


async def ask(url: str, what: str, name: str) -> str:
    async with make_client(make_store(url)) as client:
        if what == "enqueue":
            return await client.enqueue(fan(SIZES, fails=1, hold=0.05), unique_key=name)
        return str(await client.cancel(name))


if __name__ == "__main__":
    print(asyncio.run(ask(*sys.argv[1:])))

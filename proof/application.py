"""A client to be killed: ``python -m proof.application STORE_URL enqueue KEY``, ``cancel RUN_ID`` or ``prune ARTIFACTS``."""

from __future__ import annotations

import asyncio
import sys

from klassd.workflows.composition import artifact_deleter, make_client, make_store
from klassd.workflows.settings import Settings
from proof.jobs import fan

SIZES = [5, 2500, 0]


async def ask(url: str, what: str, name: str) -> object:
    deleter = artifact_deleter(Settings(artifacts=name))
    async with make_client(make_store(url), delete_artifacts=deleter) as client:
        if what == "enqueue":
            return await client.enqueue(fan(SIZES, fails=1, hold=0.05), unique_key=name)
        if what == "prune":
            return await client.prune(0)
        return await client.cancel(name)


if __name__ == "__main__":
    print(asyncio.run(ask(*sys.argv[1:])))

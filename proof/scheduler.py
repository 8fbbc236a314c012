"""A scheduler to be killed: ``python -m proof.scheduler STORE_URL STATE_DIR LEASE CONCURRENCY START``.

Prints its owner's name once it serves. SIGTERM ends it in order.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from klassd.workflows import LocalExecutor
from klassd.workflows.composition import make_scheduler, make_store
from klassd.workflows.crashes import VARIABLE
from klassd.workflows.settings import Settings


async def serve(url: str, state: str, lease: float, concurrency: int, start: str) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    store = make_store(url)
    await store.open()
    executor = LocalExecutor(state, concurrency=concurrency, start=start, env=[VARIABLE])
    async with make_scheduler(Settings(lease=lease, state=state), store, executor) as scheduler:
        print(scheduler.owner, flush=True)
        await told.wait()
    await store.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    asyncio.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))

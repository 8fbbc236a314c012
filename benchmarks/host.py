"""A scheduler in a process of its own, until standard input closes: ``python -m benchmarks.host``."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.jobs import app


async def main() -> None:
    async with app.scheduler():
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

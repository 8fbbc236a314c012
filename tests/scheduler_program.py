"""The program of a scheduler in a process of its own: ``python -c SCHEDULER module:app`` says "ready" and serves."""

SCHEDULER = """
import asyncio, sys
from klassd.workflows.app import load_app

async def main():
    async with load_app(sys.argv[1]).scheduler():
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

"""A fake cluster as a process of its own: ``python -m fake_api KUBECONFIG [--idle SECONDS]``.

Writes the kubeconfig once it answers, and ends with its standard input. ``--idle``: pods are no processes, and work so long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from fake_api.cluster import Parts, kubeconfig
from fake_api.processes import process
from fake_api.releases import NEW
from fake_api.scripted import idle


async def serve(path: str, seconds: float | None) -> None:
    parts = Parts(NEW, process if seconds is None else idle(seconds))
    await parts.start()
    await asyncio.to_thread(Path(path).write_text, json.dumps(kubeconfig(parts.port)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await parts.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig")
    parser.add_argument("--idle", type=float, default=None)
    said = parser.parse_args()
    asyncio.run(serve(said.kubeconfig, said.idle))


if __name__ == "__main__":
    main()

"""Install the other engines and measure the same trivial job with each: ``python -m benchmarks.peers``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from benchmarks import measures, peers, processes, report


def main() -> int:
    args = _arguments()
    processes.adopt_orphans()
    scale = 0.02 if args.quick else 1.0
    found: dict[str, dict[str, Any]] = {}
    for name in args.only or peers.PEERS:
        print(f"installing and measuring: {name}", file=sys.stderr)
        reason = peers.install(name)
        found |= {name: {"error": f"it cannot be installed: {reason}"}} if reason else peers.measure(name, scale)
    ours = asyncio.run(measures.throughput(scale)) | asyncio.run(measures.latency(scale))
    print(report.peers_table(ours, found))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"figures": ours, "peers": found}, file, indent=2)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", nargs="+", choices=peers.PEERS, metavar="NAME", help=f"of {', '.join(peers.PEERS)}")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of everything: shows that it works")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

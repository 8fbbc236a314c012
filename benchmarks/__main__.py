"""Measure everything in one run and print it beside the goals."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from benchmarks import measures, processes, report
from benchmarks.peers import measure_installed


def main() -> int:
    args = _arguments()
    processes.adopt_orphans()
    scale = 0.02 if args.quick else 1.0
    figures = measures.limits(scale)
    for name in args.only or measures.ALL:
        print(f"measuring: {name}", file=sys.stderr)
        figures |= asyncio.run(measures.ALL[name](scale))
    peers = {} if args.only or args.no_peers else measure_installed(scale)
    text = "\n\n".join([report.machine(), report.table(figures), *([report.peers_table(figures, peers)] if peers else [])])
    print(text)
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"figures": figures, "peers": peers, "text": text}, file, indent=1)
            file.write("\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", nargs="+", choices=measures.ALL, metavar="NAME", help=f"of {', '.join(measures.ALL)}")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of everything: shows that it works")
    parser.add_argument("--no-peers", action="store_true", help="leave other engines out though they are installed")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

"""Measure on the cluster that KLASSD_TEST_KUBECONFIG names, and print it beside the goals."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from benchmarks.cluster import measures
from benchmarks.cluster.rows import SECTIONS
from benchmarks.report import Figures, machine, table


def main() -> int:
    args = _arguments()
    figures: Figures = {}
    for name in args.only or measures.ALL:
        print(f"measuring: {name}", file=sys.stderr)
        figures |= asyncio.run(measures.ALL[name](0.05 if args.quick else 1.0))
    text = f"{machine()}\n\n{table(figures, SECTIONS)}"
    print(text)
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"figures": figures, "text": text}, file, indent=1)
            file.write("\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", nargs="+", choices=measures.ALL, metavar="NAME", help=f"of {', '.join(measures.ALL)}")
    parser.add_argument("--quick", action="store_true", help="a twentieth of everything: shows that it works")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

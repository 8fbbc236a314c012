"""Prove at length, and write down what was found: ``make prove``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proof import report

ROOT = Path(__file__).resolve().parent.parent
SIMULATION = "klassd.workflows.testing.simulation"


@dataclass
class Part:
    """``tail``: the last lines it printed; ``figures``: what it found, where it says so by name; ``on``: when and where."""

    name: str
    passed: bool
    seconds: float
    tail: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    on: str = ""


@dataclass(frozen=True)
class Size:
    seeds: int = 100_000
    events: int = 60  # with faults, of each seed; as many again until all is done, and more. The tests' seeds have 2,000
    kills: int = 1000
    jobs: int = 20_000
    lines: int = 2_000_000
    examples: int = 2000
    steps: int = 100


SHORT = Size(seeds=200, kills=10, jobs=200, lines=20_000, examples=20, steps=30)


def simulation(size: Size) -> Part:
    if importlib.util.find_spec(SIMULATION) is None:
        return Part("simulation", False, 0.0, ["it is not there"])
    return _run("simulation", ["-m", SIMULATION, "--seeds", f"0..{size.seeds - 1}", "--steps", str(size.events)])


def matrix(size: Size) -> Part:
    return _run("crash matrix", ["-m", "pytest", "-n", "2", "tests/crashes"])


def torture(size: Size) -> Part:
    arguments = ["--kills", str(size.kills), "--jobs", str(size.jobs), "--lines", str(size.lines)]
    with tempfile.TemporaryDirectory() as directory:
        told = Path(directory) / "report.json"
        part = _run("torture", ["-m", "proof.torture", *arguments, "--report", str(told)])
        if told.exists():
            part.figures, part.tail = json.loads(told.read_text()), []
    return part


def stores(size: Size) -> Part:
    return _run("stores", ["-m", "proof.machines", str(size.examples), str(size.steps)])


PARTS: dict[str, Callable[[Size], Part]] = {
    "simulation": simulation,
    "matrix": matrix,
    "torture": torture,
    "stores": stores,
}


def _run(name: str, arguments: list[str]) -> Part:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    said, passed = done.stdout.strip().splitlines(), done.returncode == 0
    return Part(name, passed, round(time.monotonic() - begun, 1), said[-2:] if passed else said[-100:])


def main() -> int:
    given = _arguments()
    parts = []
    for name in given.only or PARTS:
        print(f"proving: {name}", file=sys.stderr)
        part = PARTS[name](SHORT if given.short else Size())
        part.on = _machine()
        parts.append(part)
        print(report.of(vars(part)), end="\n\n")
        if given.report:
            _record(Path(given.report), vars(part))
    return 0 if all(part.passed for part in parts) else 1


def _record(path: Path, part: dict[str, Any]) -> None:
    """Put it in the place of the same part of an earlier report; the others stay."""
    known = {each["name"]: each for each in json.loads(path.read_text())["parts"]} if path.exists() else {}
    parts = list((known | {part["name"]: part}).values())
    text = "\n\n".join(map(report.of, parts))
    path.write_text(json.dumps({"parts": parts, "text": text}, indent=1) + "\n")


def _machine() -> str:
    load, system = os.getloadavg()[0], f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {load:.1f} at the end, {system}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof", description=__doc__)
    parser.add_argument("--report", metavar="FILE", help="write it there too, as JSON")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--short", action="store_true", help="a hundredth of everything: shows that it works")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs the samples one after the other in this terminal, with the live view, and says where the report lies.

python -m examples.demo
"""

from __future__ import annotations

import os

from klassd.workflows.cli import main

REPORT = os.path.join("build", "stdlib-index.html")
SAMPLES = (
    ("the smallest job", "examples.hello:app", "Hello", "name=you"),
    ("a workflow: fan-out, a retry, conditions, a handled failure", "examples.catalog_integration:app", "catalog-integration"),
    ("real work: the standard library, each package in a process of its own", "examples.stdlib_index:app", "stdlib-index"),
)


def demo() -> int:
    for number, (title, app, *words) in enumerate(SAMPLES, 1):
        print(f"{number}. {title}\n$ klassd run {' '.join([app, *words])}", flush=True)
        if code := main(["run", app, *words]):
            return code
        print()
    print(f"$ klassd artifacts last report.html --to {REPORT}", flush=True)
    if code := main(["artifacts", "last", "report.html", "--to", REPORT]):
        return code
    print(f"\nopen file://{os.path.abspath(REPORT)} in a browser")
    return 0


if __name__ == "__main__":
    raise SystemExit(demo())

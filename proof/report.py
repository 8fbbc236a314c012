"""What was found, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIGURES = {
    "runs": "runs, all at their end",
    "attempts": "attempts, each started once at most",
    "attempts_killed": "attempts that were killed and told so",
    "lines": "lines of console, each there once and in order",
}
NAME = 46


def of(part: Mapping[str, Any]) -> str:
    verdict = "passed" if part["passed"] else "FAILED"
    head = f"{part['name']:<{NAME}}{verdict:>10}   {part['seconds']:,.0f} s"
    body = _tortured(part["figures"]) if part["figures"] else part["tail"]
    return "\n".join([head, *(f"  {line}" for line in [part["on"], *body])])


def _tortured(figures: Mapping[str, Any]) -> list[str]:
    blows = [_row(kind, f"{count:,}") for kind, count in sorted(figures["blows"].items(), key=lambda item: -item[1])]
    found = [_row(text, f"{figures[name]:,}") for name, text in _FIGURES.items()]
    took = [_row(f"recovery, {percent}", f"{figures[f'recovery_{percent}']:.2f} s") for percent in ("p50", "p99")]
    lease = _row("  with a lease of", f"{figures['lease']:.2f} s")
    problems = figures["problems"]
    return [f"seed {figures['seed']}", *blows, *found, *took, lease, _row("problems", str(len(problems))), *problems[:20]]


def _row(name: str, value: str) -> str:
    return f"{name:<{NAME}}{value:>10}"

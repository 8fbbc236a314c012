"""Figures beside their goals."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

Figures = dict[str, float]
Row = tuple[str, str, Callable[[Figures], float], str, Callable[[float], bool] | None]  # what, format, value, goal, reached
Sections = list[tuple[str, list[Row]]]


def figure(name: str) -> Callable[[Figures], float]:
    return lambda figures: figures[name]


def at_least(goal: float) -> Callable[[float], bool]:
    return lambda value: value >= goal


def at_most(goal: float) -> Callable[[float], bool]:
    return lambda value: value <= goal


ROWS: Sections = [
    (
        "The machine",
        [
            ("fork + exit + wait, two in flight", "{:,.0f} /s", figure("fork_per_s"), "", None),
            ("  CPU", "{:.2f} ms", figure("fork_cpu_ms"), "", None),
            ("  from a process of", "{:.0f} MiB", figure("fork_mib"), "", None),
            ("durable commit in SQLite", "{:.2f} ms", figure("commit_ms"), "", None),
        ],
    ),
    (
        "1,000 jobs, durable in SQLite, a fresh process each",
        [
            ("jobs", "{:,.0f} /s", figure("jobs_per_s"), ">= 500 /s", at_least(500)),
            ("  share of bare fork", "{:.0%}", figure("share_of_fork"), ">= 40%", at_least(0.4)),
            ("  CPU per job", "{:.2f} ms", figure("cpu_ms_per_job"), "<= 3 ms", at_most(3)),
            ("    of it the scheduler", "{:.2f} ms", figure("cpu_ms_scheduler"), "", None),
            ("    of it the template", "{:.2f} ms", figure("cpu_ms_template"), "", None),
            ("    of it the jobs", "{:.2f} ms", figure("cpu_ms_jobs"), "", None),
            ("  template process", "{:.0f} MiB", figure("template_mib"), "", None),
            ("rows written per job", "{:.1f}", figure("rows_per_job"), "<= 8", at_most(8)),
            ("rows written per item of a fan-out", "{:.1f}", figure("rows_per_item"), "<= 8", at_most(8)),
            ("bytes kept per job, indexes included", "{:.2f} KiB", figure("stored_kib_per_task"), "<= 4 KiB", at_most(4)),
            ("bytes written per job, whole pages", "{:.2f} KiB", figure("written_kib_per_task"), "", None),
        ],
    ),
    (
        "Enqueue in another process, idle scheduler",
        [
            ("first line of user code, median", "{:.1f} ms", figure("start_p50_ms"), "<= 8 ms", at_most(8)),
            ("  95 % within", "{:.1f} ms", figure("start_p95_ms"), "", None),
            ("enqueue returns, durable, median", "{:.1f} ms", figure("enqueue_p50_ms"), "", None),
        ],
    ),
    (
        "Fan-out, from enqueue to the end of the run",
        [
            ("100 items", "{:.2f} s", figure("fan_100_s"), "<= 0.5 s", at_most(0.5)),
            ("1,000 items", "{:.2f} s", figure("fan_1000_s"), "<= 3 s", at_most(3)),
            ("5,000 items", "{:.2f} s", figure("fan_5000_s"), "", None),
            ("CPU per item of 100", "{:.2f} ms", figure("fan_100_cpu_ms"), "", None),
            ("CPU per item of 1,000", "{:.2f} ms", figure("fan_1000_cpu_ms"), "", None),
            ("CPU per item of 5,000", "{:.2f} ms", figure("fan_5000_cpu_ms"), "", None),
            (
                "  5,000 against 100",
                "{:.2f} x",
                lambda f: f["fan_5000_cpu_ms"] / f["fan_100_cpu_ms"],
                "<= 1.25 x",
                at_most(1.25),
            ),
        ],
    ),
    (
        "20,000 finished runs in the store",
        [
            ("jobs", "{:,.0f} /s", figure("history_jobs_per_s"), "", None),
            ("CPU per job", "{:.2f} ms", figure("history_cpu_ms_per_job"), "", None),
            (
                "  against an empty store",
                "{:.2f} x",
                lambda f: f["history_cpu_ms_per_job"] / f["cpu_ms_per_job"],
                "<= 1.25 x",
                at_most(1.25),
            ),
        ],
    ),
    (
        "Console: 1,000,000 lines of one job, stored, counted, compared",
        [
            ("lines", "{:,.0f} /s", figure("lines_per_s"), ">= 100,000 /s", at_least(100_000)),
            ("CPU per line", "{:.1f} us", figure("cpu_us_per_line"), "", None),
        ],
    ),
]


def machine() -> str:
    """When and where."""
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {load:.1f} at the end, {system}"


def table(figures: Figures, sections: Sections = ROWS) -> str:
    """Every section of which there are figures."""
    lines: list[str] = []
    for title, rows in sections:
        told = [text for row in rows if (text := _line(row, figures))]
        lines += ["", title, *told] if told else []
    return "\n".join(lines).lstrip("\n")


def _line(row: Row, figures: Figures) -> str:
    what, form, value_of, goal, reached = row
    try:
        value = value_of(figures)
    except KeyError:
        return ""
    verdict = "" if reached is None else ("  yes" if reached(value) else "  NO")
    return f"  {what:<40}{form.format(value):>14}   {goal:<14}{verdict}".rstrip()


def peers_table(ours: Figures, peers: dict[str, dict[str, Any]]) -> str:
    """The same trivial job elsewhere; ``x`` is how many times our figure is better."""
    header = f"  {'':<38}{'jobs/s':>9}{'CPU/job':>11}{'start p50':>11}   fresh process, kept in"
    lines = [
        "The same job with other engines; x: how many times ours is better",
        header,
        _peer("klassd", {**ours, "fresh": True, "kept": "SQLite, fsync"}),
    ]
    for name, told in peers.items():
        if "error" in told:
            lines.append(f"  {name:<38} not measured: {told['error']}")
            continue
        lines.append(_peer(name, told))
        lines.append(_ratios(ours, told))
    return "\n".join(lines)


def _peer(name: str, told: dict[str, Any]) -> str:
    start = f"{told['start_p50_ms']:.1f} ms" if told.get("start_p50_ms") is not None else "-"
    fresh = "yes" if told["fresh"] else "no"
    return f"  {name:<38}{told['jobs_per_s']:>9,.0f}{told['cpu_ms_per_job']:>8.2f} ms{start:>11}   {fresh}, {told['kept']}"


def _ratios(ours: Figures, told: dict[str, Any]) -> str:
    start = told.get("start_p50_ms")
    times = [ours["jobs_per_s"] / told["jobs_per_s"], told["cpu_ms_per_job"] / ours["cpu_ms_per_job"]]
    last = f"{start / ours['start_p50_ms']:>9.1f} x" if start is not None and "start_p50_ms" in ours else ""
    return f"  {'':<38}{times[0]:>7.1f} x{times[1]:>9.1f} x{last}"

"""The figures of a cluster beside their goals."""

from __future__ import annotations

from benchmarks.report import Figures, Row, Sections, at_most, figure

FEW = 10  # requests a second while nothing happens

_PHASES = {
    "create_ms": "enqueue -> Job seen in the API",
    "pod_ms": "  -> pod made by Kubernetes",
    "scheduled_ms": "  -> scheduled",
    "started_ms": "  -> its process begun",
    "imported_ms": "  -> the job's module imported",
    "first_ms": "  -> first line of user code",
    "ended_ms": "  -> worker at its end",
    "seen_ms": "  -> container's end seen in the API",
    "store_ms": "  -> outcome stored, client told",
    "whole_ms": "in all",
}


def _over(ours: str, bare: str) -> Row:
    def over(figures: Figures) -> float:
        return figures[ours] - figures[bare]

    return ("  over the bare API", "{:.0f} ms", over, "<= 50 ms", at_most(50))


def _requests(prefix: str) -> list[Row]:
    kinds = ("create jobs", "create configmaps", "log pods", "patch jobs", "get events", "get jobs", "get pods")
    return [(f"  {kind}", "{:.2f}", figure(f"{prefix} {kind}"), "", None) for kind in kinds]


SECTIONS: Sections = [
    (
        "One job, idle scheduler, medians",
        [
            ("enqueue to Job created", "{:.0f} ms", figure("create_ms"), "", None),
            ("  the same by the bare API", "{:.0f} ms", figure("bare_create_ms"), "", None),
            _over("create_ms", "bare_create_ms"),
            ("  95 % within", "{:.0f} ms", figure("create_p95_ms"), "", None),
            ("container's end to stored outcome", "{:.0f} ms", figure("store_ms"), "", None),
            ("  console read by the bare API", "{:.0f} ms", figure("bare_read_ms"), "", None),
            _over("store_ms", "bare_read_ms"),
            ("  95 % within", "{:.0f} ms", figure("store_p95_ms"), "", None),
        ],
    ),
    ("Where its time goes, medians", [(text, "{:.0f} ms", figure(name), "", None) for name, text in _PHASES.items()]),
    ("Requests to the API for one job", _requests("requests")),
    (
        "Pods all at once, from enqueue to the end of the run",
        [
            ("pods", "{:,.0f}", figure("hundred_pods"), "", None),
            ("bare Jobs of the same pods", "{:.1f} s", figure("hundred_bare_s"), "", None),
            ("a fan-out", "{:.1f} s", figure("hundred_s"), "", None),
            ("  against the bare Jobs", "{:.2f} x", lambda f: f["hundred_s"] / f["hundred_bare_s"], "<= 1.10 x", at_most(1.1)),
            ("  CPU of the scheduler for a pod", "{:.1f} ms", figure("hundred_cpu_ms"), "", None),
        ],
    ),
    ("Requests to the API for a pod of these", _requests("many")),
    (
        "Console of one pod, stored, counted, compared",
        [
            ("lines", "{:,.0f} /s", figure("lines_per_s"), "", None),
            ("CPU of the scheduler for a line", "{:.1f} us", figure("cpu_us_per_line"), "", None),
        ],
    ),
    (
        "Jobs that wait in the cluster",
        [
            ("Jobs", "{:,.0f}", figure("queued_jobs"), "", None),
            ("created within", "{:.1f} s", figure("queued_created_s"), "", None),
            ("requests while they wait", "{:.2f} /s", figure("queued_requests_per_s"), f"<= {FEW} /s", at_most(FEW)),
            ("CPU of the scheduler meanwhile", "{:.3f} cores", figure("queued_cores"), "", None),
            ("memory of the scheduler", "{:.0f} MiB", figure("queued_mib"), "", None),
        ],
    ),
    (
        "Pods that run and say nothing, on a fake API",
        [
            ("pods", "{:,.0f}", figure("live_pods"), "", None),
            ("running within", "{:.1f} s", figure("live_running_s"), "", None),
            ("requests meanwhile", "{:.2f} /s", figure("live_requests_per_s"), f"<= {FEW} /s", at_most(FEW)),
            ("CPU of the scheduler meanwhile", "{:.3f} cores", figure("live_cores"), "<= 0.5 cores", at_most(0.5)),
            ("memory of the scheduler", "{:.0f} MiB", figure("live_mib"), "", None),
        ],
    ),
]

"""fork + exit + wait in this process, which holds what was imported before and nothing more."""

from __future__ import annotations

import json
import os
import resource
import time

from benchmarks.processes import resident


def measure(count: int, in_flight: int = 2) -> None:
    for warm in (True, False):
        began, cpu = time.perf_counter(), _own_and_children()
        for done in range((20 if warm else count) + in_flight):
            if done >= in_flight:
                os.wait()
            if done < (20 if warm else count) and os.fork() == 0:
                os._exit(0)
        seconds, used = time.perf_counter() - began, _own_and_children() - cpu
    held = resident(os.getpid())  # not ru_maxrss, which exec hands down from a larger parent
    print(json.dumps({"per_second": count / seconds, "cpu_ms": used / count * 1000, "rss_mib": held}))


def _own_and_children() -> float:
    each = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in each)

"""Celery: Redis, a pool of two processes; once as it comes (they are used again), once with a fresh process per job."""

from __future__ import annotations

import os
import sys

from celery import Celery, group

from benchmarks import processes
from benchmarks.peers import common, jobs

app = Celery("bench", broker=os.environ.get("BENCH_REDIS"), backend=os.environ.get("BENCH_REDIS"))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
trivial = app.task(name="trivial")(jobs.trivial)
clock = app.task(name="clock")(jobs.clock)


def main() -> None:
    processes.adopt_orphans()
    with common.redis_server() as socket:
        url = f"redis+socket://{socket}"
        app.conf.update(broker_url=url, result_backend=url)
        used_again = _measure(url, common.scaled(1000), [], fresh=False)
        fresh = _measure(url, common.scaled(50), ["--max-tasks-per-child", "1"], fresh=True)
    common.tell(**{"celery": used_again, "celery --max-tasks-per-child 1": fresh})


def _measure(url: str, count: int, options: list[str], fresh: bool) -> dict[str, object]:
    worker = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_peer:app", "worker", "-P", "prefork", "-c", "2"]
    finished = 0

    def enqueue(number: int) -> None:
        nonlocal finished
        result = group(trivial.s(each) for each in range(number)).apply_async()
        pids = result.get(timeout=common.GIVE_UP, disable_sync_subtasks=False)
        if fresh and len(set(pids)) != number:
            raise SystemExit(f"{number} jobs ran in {len(set(pids))} processes")
        finished += number

    with common.background([*worker, "-l", "ERROR", "--without-gossip", "--without-mingle", *options], BENCH_REDIS=url):
        _one()
        figures = common.drain(count, enqueue, lambda: finished)
        start = common.latency(common.scaled(20 if fresh else 100), _one)
    return {**figures, "start_p50_ms": start, "fresh": fresh, "kept": "Redis, fsync every second"}


def _one() -> float:
    return float(clock.delay().get(timeout=60, interval=0.002))


if __name__ == "__main__":
    main()

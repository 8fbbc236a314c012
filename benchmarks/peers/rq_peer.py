"""rq: Redis, two workers, each forks a process per job."""

from __future__ import annotations

import os
import sys

import redis
from rq import Queue

from benchmarks import processes
from benchmarks.peers import common, jobs


def main() -> None:
    processes.adopt_orphans()
    with common.redis_server() as socket:
        connection = redis.Redis(unix_socket_path=socket)
        queue = Queue(connection=connection)
        rq = os.path.join(os.path.dirname(sys.executable), "rq")
        with common.background([rq, "worker-pool", "-n", "2", "-u", f"unix://{socket}", "--logging-level", "ERROR"]):
            _one(queue)
            figures = common.drain(
                common.scaled(1000), lambda count: _many(queue, count), queue.finished_job_registry.get_job_count
            )
            start = common.latency(common.scaled(100), lambda: _one(queue))
    common.tell(rq={**figures, "start_p50_ms": start, "fresh": True, "kept": "Redis, fsync every second"})


def _many(queue: Queue, count: int) -> None:
    queue.enqueue_many([Queue.prepare_data(jobs.trivial, (number,)) for number in range(count)])


def _one(queue: Queue) -> float:
    job = queue.enqueue(jobs.clock)
    common.wait_for(lambda: job.get_status().value == "finished", "the job", look_every=0.002)
    return float(job.return_value())


if __name__ == "__main__":
    main()

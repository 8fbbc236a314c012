"""luigi: its local scheduler, two workers, a process per task. No queue, hence no latency; no store, hence nothing kept."""

from __future__ import annotations

import logging
import warnings

warnings.simplefilter("ignore")

import luigi  # noqa: E402

from benchmarks import processes  # noqa: E402
from benchmarks.peers import common, jobs  # noqa: E402


class Trivial(luigi.Task):
    number = luigi.IntParameter()

    def run(self) -> None:
        jobs.trivial(self.number)

    def complete(self) -> bool:
        return False


def main() -> None:
    processes.adopt_orphans()
    logging.disable(logging.CRITICAL)
    finished = 0

    def build(count: int) -> None:
        nonlocal finished
        luigi.build([Trivial(number=number) for number in range(count)], workers=2, local_scheduler=True, no_lock=True)
        finished += count

    count = common.scaled(1000)
    own = processes.own_cpu()
    figures = common.drain(count, build, lambda: finished)
    figures["cpu_ms_per_job"] += (processes.own_cpu() - own) / count * 1000  # the scheduler is this process
    common.tell(luigi={**figures, "start_p50_ms": None, "fresh": True, "kept": "nothing kept"})


if __name__ == "__main__":
    main()

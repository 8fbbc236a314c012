"""What is measured, one function each. Every one gives figures by name; ``report`` knows their goals."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time

from benchmarks import machine
from benchmarks.jobs import Clock, Talk, Trivial, fan_out, line
from benchmarks.session import Session, count_rows, rows_counted, session, stored_bytes

Figures = dict[str, float]
ROUNDS = 3
SETTLE = 0.01  # seconds between two enqueues on an idle scheduler


def limits(scale: float) -> Figures:
    """What the disk can do."""
    with tempfile.TemporaryDirectory(prefix="klassd-bench-") as directory:
        return {"commit_ms": machine.durable_commit(directory, int(500 * scale))["ms"]}


async def throughput(scale: float) -> Figures:
    """Trivial jobs, durable in SQLite, a fresh process each. Rounds of jobs and of bare forks take turns, so that whatever
    else the machine does meets both; medians."""
    count = int(1000 * scale)
    rounds = []
    async with session() as here:
        stored = stored_bytes(here.database)
        for _ in range(ROUNDS):
            fork = machine.bare_fork(count)
            figures, spent = await _drain(here, count)
            figures |= {"fork_per_s": fork["per_second"], "fork_cpu_ms": fork["cpu_ms"], "fork_mib": fork["rss_mib"]}
            figures |= {"share_of_fork": figures["jobs_per_s"] / fork["per_second"]}
            rounds.append(figures | {"written_kib_per_task": spent["bytes"] / count / 1024})
        await _verify_processes(here, ROUNDS * count)
        kept = (stored_bytes(here.database) - stored) / (ROUNDS * count) / 1024
        template = here.template_mib()
    medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {**medians, "template_mib": template, "stored_kib_per_task": kept}


async def _verify_processes(here: Session, count: int) -> None:
    runs = await here.all_runs("benchmarks.jobs:Trivial")
    pids = {run.output for run in runs}
    if len(runs) < count or len(pids) < 0.95 * len(runs):  # a busy machine may come to the end of its pids and start again
        raise SystemExit(f"{count} jobs were enqueued, {len(runs)} ran, in {len(pids)} processes")


async def _drain(here: Session, count: int) -> tuple[Figures, Figures]:
    before = (await here.client.counts()).by_name
    done = sum(map(sum, (statuses.values() for statuses in before.values())))
    with here.cost() as spent:
        began = time.time()
        ids = await here.client.enqueue_many(Trivial(number=number) for number in range(count))
        await here.finished(done + count)
    sample = {*ids[:: max(1, count // 50)], *ids[-50:]}
    last = max([(await here.client.run(each)).finished_at or 0 for each in sample])
    parts = {f"cpu_ms_{part}": spent[part] / count * 1000 for part in ("scheduler", "template", "jobs")}
    return {"jobs_per_s": count / (last - began), "cpu_ms_per_job": spent["cpu"] / count * 1000, **parts}, spent


async def latency(scale: float) -> Figures:
    """From ``enqueue`` in this process to the first line of user code, on an idle scheduler in another."""
    starts, accepted = [], []
    async with session() as here:
        await here.client.wait(await here.client.enqueue(Clock()))
        for _ in range(int(200 * scale)):
            await asyncio.sleep(SETTLE)
            began = time.monotonic()
            run_id = await here.client.enqueue(Clock())
            accepted.append((time.monotonic() - began) * 1000)
            run = await here.client.wait(run_id)
            starts.append((run.output - began) * 1000)
    return {"start_p50_ms": _part(starts, 50), "start_p95_ms": _part(starts, 95), "enqueue_p50_ms": _part(accepted, 50)}


async def fan(scale: float) -> Figures:
    """From enqueue to the end of the run, and what each task costs as the fan-out grows."""
    figures: Figures = {}
    async with session() as here:
        for items, times in ((100, 5), (1000, 3), (5000, 1)):
            count = int(items * scale)
            walls, costs = zip(*[await _fan_once(here, count) for _ in range(times)], strict=True)
            figures[f"fan_{items}_s"] = statistics.median(walls)
            figures[f"fan_{items}_cpu_ms"] = statistics.median(costs)
    return figures


async def _fan_once(here: Session, count: int) -> tuple[float, float]:
    with here.cost() as spent:
        began = time.monotonic()
        run = await here.client.wait(await here.client.enqueue(fan_out(count)))
        seconds = time.monotonic() - began
    if run.status != "succeeded":
        raise SystemExit(f"the fan-out over {count} items {run.status}: {run.error}")
    return seconds, spent["cpu"] / count * 1000


async def console(scale: float) -> Figures:
    """One job that prints; until every line is stored, then each line is read back and compared."""
    count = int(1_000_000 * scale)
    async with session() as here:
        with here.cost() as spent:
            run_id = await here.client.enqueue(Talk(lines=count))
            run = await here.client.wait(run_id)
        (execution,) = [each async for each in here.client.executions(run_id)]
        seconds = (run.finished_at or 0) - (execution.started_at or 0)
        await _verify(here, execution.id, count)
    return {"lines_per_s": count / seconds, "cpu_us_per_line": spent["cpu"] / count * 1e6}


async def _verify(here: Session, execution_id: str, count: int) -> None:
    expected = 1
    while lines := await here.client.log(execution_id, expected, 5000):
        for found in lines:
            if found.number != expected or found.text != line(expected) or found.missing or found.cut_bytes:
                raise SystemExit(f"line {expected} of the console is {found}")
            expected += 1
    if expected != count + 1:
        raise SystemExit(f"{count} lines were printed and {expected - 1} stored")


async def rows(scale: float) -> Figures:
    """Rows inserted, updated and deleted per job without a console, counted by triggers."""
    count = int(200 * scale)
    async with session() as here:
        count_rows(here.database)
        await _drain(here, count)
        jobs = rows_counted(here.database)
        await _fan_once(here, count)
        return {"rows_per_job": jobs / count, "rows_per_item": (rows_counted(here.database) - jobs) / count}


async def history(scale: float) -> Figures:
    """The same jobs with many finished runs in the store."""
    async with session(history=int(20_000 * scale)) as here:
        figures, _ = await _drain(here, int(1000 * scale))
        _, fan_cpu = await _fan_once(here, int(1000 * scale))
    return {
        "history_jobs_per_s": figures["jobs_per_s"],
        "history_cpu_ms_per_job": figures["cpu_ms_per_job"],
        "history_fan_cpu_ms": fan_cpu,
    }


def _part(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


ALL = {"throughput": throughput, "latency": latency, "fan": fan, "console": console, "rows": rows, "history": history}

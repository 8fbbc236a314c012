"""What is measured on a cluster, one function each. The cluster's own part is measured in the same run, taking turns."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable

import msgspec

from benchmarks.cluster.fake import fake_cluster
from benchmarks.cluster.jobs import Clock, Stuck, Trivial, fan_out
from benchmarks.cluster.session import Session, session
from benchmarks.jobs import Talk, line
from klassd.workflows.model.run import execution_id
from klassd.workflows.order import End

Figures = dict[str, float]

AT_ONCE = 16  # requests for bare Jobs under way at once, as many as the executor has
WINDOW = 30.0  # seconds in which requests are counted
CALM = 5.0  # seconds without a request after which things are taken for steady
ANSWERED = 1.0  # the same, for each to have its answer: a watch may show its effect before, and it is counted then


async def latency(scale: float) -> Figures:
    """On an idle scheduler, one after the other: a bare Job by the API, then a job enqueued."""
    bare: list[Figures] = []
    ours: list[Figures] = []
    async with session() as here:
        await _one(here)  # from now on everything is warm
        await _calm(here, ANSWERED)
        before = await here.requests()
        for _ in range(max(2, int(40 * scale))):
            bare.append(await _bare(here))
            ours.append(await _one(here))
        await _calm(here, ANSWERED)
        asked = {name: (count - before.get(name, 0)) / len(ours) for name, count in (await here.requests()).items()}
    figures = {name: statistics.median(each[name] for each in ours) for name in ours[0]}
    figures |= {f"bare_{name}": statistics.median(each[name] for each in bare) for name in bare[0]}
    figures |= {f"{name}_p95_ms": _part([each[f"{name}_ms"] for each in ours], 95) for name in ("create", "store")}
    return figures | {f"requests {name}": count for name, count in asked.items()}


async def _bare(here: Session) -> Figures:
    name, manifest = here.bare(Clock)
    began = time.time()
    await here.create(manifest)
    made = await here.seen.until(name, what="job")
    ended = await here.seen.until(name, what="ended")
    read = await here.console(name)
    end = msgspec.json.decode(here.seen.records[name], type=End).finished_at
    return {"create_ms": _ms(began, made), "seen_ms": _ms(end, ended), "read_ms": _ms(ended, read)}


async def _one(here: Session) -> Figures:
    """Where the time between enqueue and outcome goes."""
    began = time.time()
    run_id = await here.client.enqueue(Clock())
    run = await here.client.wait(run_id)
    stored = time.time()
    name = execution_id(run_id, 0, 0, 1)
    ended = await here.seen.until(name, what="ended")
    job, pod, scheduled = (here.seen.at[name, what] for what in ("job", "pod", "scheduled"))
    process, imported, first = (run.output[what] for what in ("process", "imported", "run"))
    end = msgspec.json.decode(here.seen.records[name], type=End).finished_at
    await here.seen.until(name, what="reaped")  # its last request
    return {
        "create_ms": _ms(began, job),
        "pod_ms": _ms(job, pod),
        "scheduled_ms": _ms(pod, scheduled),
        "started_ms": _ms(scheduled, process),
        "imported_ms": _ms(process, imported),
        "first_ms": _ms(imported, first),
        "ended_ms": _ms(first, end),
        "seen_ms": _ms(end, ended),
        "store_ms": _ms(ended, stored),
        "whole_ms": _ms(began, stored),
    }


async def hundred(scale: float) -> Figures:
    """As many pods as a node takes, all at once: bare Jobs of the same pods, then a fan-out, and the other way round."""
    count = max(2, int(100 * scale))
    bare: list[float] = []
    ours: list[float] = []
    costs: list[float] = []
    asked: list[Figures] = []

    async def engine() -> None:
        before, cpu = await here.requests(), here.cpu()
        ours.append(await _fan_out(here, count))
        costs.append((here.cpu() - cpu) / count * 1000)
        asked.append({name: (n - before.get(name, 0)) / count for name, n in (await here.requests()).items()})

    async def cluster() -> None:
        bare.append(await _bare_jobs(here, count))

    async with session() as here:
        await _one(here)
        for turn in (cluster, engine, engine, cluster):
            await turn()
    figures = {"hundred_s": statistics.mean(ours), "hundred_bare_s": statistics.mean(bare), "hundred_pods": float(count)}
    figures |= {f"many {name}": each for name, each in asked[-1].items()}
    return figures | {"hundred_cpu_ms": statistics.mean(costs)}


async def _fan_out(here: Session, count: int) -> float:
    began = time.time()
    run = await here.client.wait(await here.client.enqueue(fan_out(count)))
    if run.status != "succeeded":
        raise SystemExit(f"the fan-out over {count} pods {run.status}: {run.error}")
    return time.time() - began


async def _bare_jobs(here: Session, count: int) -> float:
    """Until the last container has been seen to end."""
    room = asyncio.Semaphore(AT_ONCE)

    async def create(number: int) -> str:
        name, manifest = here.bare(Trivial, number=number)
        async with room:
            await here.create(manifest)
        return name

    began = time.time()
    names = await asyncio.gather(*map(create, range(count)))
    return await here.seen.until(*names, what="ended") - began


async def console(scale: float) -> Figures:
    """One pod that prints as fast as it can; until every line is stored. Then each is read back and compared."""
    count = int(100_000 * scale)
    async with session() as here:
        await _one(here)
        cpu = here.cpu()
        run_id = await here.client.enqueue(Talk(lines=count))
        run = await here.client.wait(run_id)
        (execution,) = [each async for each in here.client.executions(run_id)]
        await _verify(here, execution.id, count)
        seconds = (run.finished_at or 0) - (execution.started_at or 0)
        return {"lines_per_s": count / seconds, "cpu_us_per_line": (here.cpu() - cpu) / count * 1e6}


async def _verify(here: Session, name: str, count: int) -> None:
    found = await here.client.log(name, 1, count + 1)
    if [each.text for each in found] != [line(number) for number in range(1, count + 1)]:
        raise SystemExit(f"{count} lines were printed, and {len(found)} others are stored")


async def queued(scale: float) -> Figures:
    """Jobs in the cluster whose pods find no node: what the scheduler asks the API for while nothing happens."""
    count = max(10, int(1000 * scale))
    async with session(KLASSD_CONCURRENCY=str(count)) as here:
        began = time.time()
        ids = await here.client.enqueue_many(Stuck(number=number) for number in range(count))
        names = [execution_id(each, 0, 0, 1) for each in ids]
        created = await here.seen.until(*names, what="job") - began
        await here.seen.until(*names, what="pod")
        await _calm(here)
        before, cpu = await here.requests(), here.cpu()
        await asyncio.sleep(WINDOW)
        asked = {name: count - before.get(name, 0) for name, count in (await here.requests()).items()}
        return {
            "queued_jobs": float(count),
            "queued_created_s": created,
            "queued_requests_per_s": sum(asked.values()) / WINDOW,
            "queued_watches": math.ceil(asked.get("watch jobs", 0) + asked.get("watch pods", 0)),
            "queued_cores": (here.cpu() - cpu) / WINDOW,
            "queued_mib": here.resident(),
        }


async def live(scale: float) -> Figures:
    """Pods that run and say nothing but that they live, on the fake API of the tests: no machine is needed for each."""
    count = max(10, int(2000 * scale))
    with fake_cluster() as kubeconfig:
        async with session(kubeconfig, "none:1", KLASSD_CONCURRENCY=str(count)) as here:
            began = time.time()
            ids = await here.client.enqueue_many(Trivial(number=number) for number in range(count))
            running = await here.seen.until(*(execution_id(each, 0, 0, 1) for each in ids), what="running") - began
            await _calm(here)
            before, cpu = await here.requests(), here.cpu()
            await asyncio.sleep(WINDOW)
            asked = sum((await here.requests()).values()) - sum(before.values())
            return {
                "live_pods": float(count),
                "live_running_s": running,
                "live_requests_per_s": asked / WINDOW,
                "live_cores": (here.cpu() - cpu) / WINDOW,
                "live_mib": here.resident(),
            }


async def _calm(here: Session, seconds: float = CALM) -> None:
    """Until no request was made for a while; or for as long as things may take, so that what never calms is counted."""
    last, since, began = -1, time.time(), time.time()
    while time.time() - since < seconds and time.time() - began < 60:
        if (now := sum((await here.requests()).values())) != last:
            last, since = now, time.time()
        await asyncio.sleep(0.5)


def _ms(begin: float, end: float) -> float:
    return (end - begin) * 1000


def _part(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


ALL: dict[str, Callable[[float], Awaitable[Figures]]] = {
    "latency": latency,
    "hundred": hundred,
    "console": console,
    "queued": queued,
    "live": live,
}

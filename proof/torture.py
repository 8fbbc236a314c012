"""Two schedulers, one store, one state directory, real jobs; and everything is killed: schedulers, supervisors, forkers, jobs.

    python -m proof.torture --kills 1000 --jobs 20000 --lines 2000000

At the end every run has to be over, every attempt started once at most and never beside another one of its task, every console
whole, and no process or file left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from klassd.workflows import Workflow
from klassd.workflows.client import Client
from klassd.workflows.composition import make_client, make_store
from klassd.workflows.errors import StoreError
from klassd.workflows.executors.local import identity
from klassd.workflows.model.states import RunStatus
from proof import family, orphans
from proof.checks import Checks
from proof.jobs import Prints
from proof.place import Place
from proof.plan import Plan
from proof.recovery import Recovery
from proof.seats import Seat
from proof.stores import SqliteFile

DRAIN = 120.0  # seconds for what is under way when the torture ends
AHEAD = 0.05  # part of the work that may be further than the kills, and the other way round
WEIGHTS = {"kill scheduler": 70, "freeze scheduler": 5, "end scheduler": 5, "lock store": 3}
WEIGHTS |= {"kill job": 10, "kill supervisor": 4, "kill forker": 3}


@dataclass
class Report:
    seed: int
    seconds: float = 0.0
    blows: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    attempts: int = 0
    attempts_killed: int = 0
    lines: int = 0
    recovery_p50: float = 0.0
    recovery_p99: float = 0.0
    lease: float = 0.0
    problems: list[str] = field(default_factory=list)


class Torture:
    def __init__(self, path: Path, plan: Plan) -> None:
        self._plan, self._dice = plan, random.Random(plan.seed)
        self._store = SqliteFile(path / "klassd.db")
        self.place = Place(path, self._store.url, plan.lease, plan.concurrency)
        self._seats = [Seat(self.place), Seat(self.place)]
        self._locked = False
        self._recovery = Recovery(self._store, lambda: not self._locked and any(seat.serving for seat in self._seats))
        self.report = Report(plan.seed, lease=plan.lease)
        self._runs: list[str] = []
        self._jobs = 0  # enqueued
        self._victims: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = time.monotonic()

    async def run(self) -> Report:
        with orphans.adopted(lambda: [seat.pid for seat in self._seats]) as bury:
            try:
                await self._run(bury)
            finally:
                self.place.close()
        return self.report

    async def _run(self, bury: Callable[[], None]) -> None:
        async with make_client(make_store(self._store.url)) as client:
            await asyncio.gather(*(seat.fill() for seat in self._seats))
            watches = [asyncio.create_task(self._recovery.watch()), asyncio.create_task(_now_and_then(bury))]
            await asyncio.gather(self._feed(client), self._torment())
            await asyncio.gather(*self._tasks)
            await self._drain(client)
            for watch in watches:
                watch.cancel()
            await self._close()
            await self._examine(client)

    # -- work ---------------------------------------------------------------------------------------------------

    async def _feed(self, client: Client) -> None:
        for number, (work, jobs) in enumerate(self._plan.work()):
            while self._jobs / self._plan.jobs > self.report.blows["kill scheduler"] / max(1, self._plan.kills) + AHEAD:
                if self._over():
                    return
                await asyncio.sleep(0.02)
            if self._over():
                return
            self._runs.append(await _enqueued(client, work, f"work {number}"))
            self._jobs += jobs
            while await self._waiting(client) > self._plan.backlog and not self._over():
                await asyncio.sleep(0.1)
        self._jobs = self._plan.jobs

    async def _waiting(self, client: Client) -> int:
        """Jobs, about: what a run has of them is not told by its state."""
        over = await _finished(client)
        return int((len(self._runs) - over) * self._jobs / max(1, len(self._runs)))

    def _over(self) -> bool:
        return time.monotonic() - self._begun > self._plan.seconds

    # -- blows --------------------------------------------------------------------------------------------------

    async def _torment(self) -> None:
        while self.report.blows["kill scheduler"] < self._plan.kills and not self._over():
            await asyncio.sleep(self._dice.expovariate(1 / self._plan.pause))
            while self.report.blows["kill scheduler"] / self._plan.kills > self._jobs / self._plan.jobs + AHEAD:
                if self._over():
                    return
                await asyncio.sleep(0.02)
            (kind,) = self._dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            if await self._strike(kind):
                self.report.blows[kind] += 1
            self._look_after_seats()

    async def _strike(self, kind: str) -> bool:
        if kind == "lock store":
            return not self._locked and self._spawn(self._lock_store(self._dice.uniform(0.3, 1.5 * self._plan.lease)))
        if kind.startswith("kill ") and kind != "kill scheduler":
            return await self._kill_one(kind.removeprefix("kill "))
        serving = [seat for seat in self._seats if seat.serving]
        if not serving:
            return False
        seat = self._dice.choice(serving)
        if kind == "freeze scheduler":
            return self._spawn(seat.stop(self._dice.uniform(1.2, 2.5) * self._plan.lease))
        if kind == "kill scheduler":
            self._recovery.killed(await seat.kill())
        elif await seat.end() != 0:
            self.report.problems.append("a scheduler that was asked to end did not end in order")
        return self._spawn(self._refill(seat, self._dice.uniform(0.0, 0.3)))

    def _look_after_seats(self) -> None:
        for seat in self._seats:
            if seat.died:
                self.report.problems.append(f"{seat.owner} died by itself: {self.place.log.read_text()[-2000:]}")
                self._spawn(self._refill(seat, 0.0))

    async def _refill(self, seat: Seat, seconds: float) -> None:
        seat.owner = ""
        await asyncio.sleep(seconds)
        try:
            await seat.fill()
        except RuntimeError as error:
            self.report.problems.append(str(error))

    async def _lock_store(self, seconds: float) -> None:
        self._locked = True
        await asyncio.to_thread(self._store.keep_locked, seconds)
        self._locked = False

    async def _kill_one(self, role: str) -> bool:
        everyone = await asyncio.to_thread(lambda: list(family.members(self.place.witness)))
        if not (fitting := [each for each in everyone if each.role == role]):
            return False
        victim = self._dice.choice(fitting)
        identity.send(victim.pid, victim.start, signal.SIGKILL)
        self._victims.add(victim.pid)
        return True

    def _spawn(self, work: Coroutine[None, None, None]) -> bool:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    # -- the end ------------------------------------------------------------------------------------------------

    async def _drain(self, client: Client) -> None:
        deadline = time.monotonic() + DRAIN
        while (over := await _finished(client)) < len(self._runs):
            if time.monotonic() > deadline:
                self.report.problems.append(f"{len(self._runs) - over} runs are not over {DRAIN:g} s after the torture")
                return
            await asyncio.sleep(0.1)
        self.report.seconds = round(time.monotonic() - self._begun, 1)

    async def _close(self) -> None:
        """In order; and one more scheduler, that tidies up after those that could not."""
        codes = list(await asyncio.gather(*(seat.end() for seat in self._seats)))
        await self._seats[0].fill()
        codes.append(await self._seats[0].end())
        if set(codes) != {0}:
            self.report.problems.append(f"schedulers ended with exit codes {codes}")

    async def _examine(self, client: Client) -> None:
        report = self.report
        checks = Checks(await asyncio.to_thread(self.place.testimony), self._victims)
        for run_id in dict.fromkeys(self._runs):
            await checks.run(client, run_id)
        report.problems += checks.done() + [
            f"left over: {each}" for each in await asyncio.to_thread(self.place.left_over, 10.0)
        ]
        report.runs, report.attempts, report.lines = len(set(self._runs)), checks.executions, checks.lines
        report.attempts_killed = checks.killed
        report.recovery_p50, report.recovery_p99 = (round(self._recovery.percentile(each), 2) for each in (50, 99))
        if report.recovery_p99 > self._plan.lease + 2.0:
            report.problems.append(f"recovery took {report.recovery_p99} s (p99), with a lease of {self._plan.lease} s")


async def _now_and_then(do: Callable[[], None]) -> None:
    while True:
        do()
        await asyncio.sleep(5.0)


async def _finished(client: Client) -> int:
    counts = await client.counts()
    return sum(counts.total(status) for status in RunStatus if status.final)


async def _enqueued(client: Client, work: Workflow | Prints, key: str) -> str:
    """Asked again with its key until there is an answer."""
    while True:
        try:
            return await client.enqueue(work, unique_key=key)
        except StoreError:
            await asyncio.sleep(0.1)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.torture", description=__doc__.splitlines()[0] if __doc__ else "")
    for name, value in (("seed", 1), ("kills", 1000), ("jobs", 20_000), ("lines", 2_000_000)):
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N")
    parser.add_argument("--seconds", type=float, default=3600.0, metavar="S", help="begin nothing new after so long")
    parser.add_argument("--report", metavar="FILE", help="write what was found there, as JSON")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="torture-") as directory:
        plan = Plan(given.seed, given.kills, given.jobs, given.lines, given.seconds)
        report = asyncio.run(Torture(Path(directory), plan).run())
    text = json.dumps(vars(report), indent=1)
    print(text)
    if given.report:
        Path(given.report).write_text(text + "\n")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

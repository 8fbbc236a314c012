"""Every marked effect times every durable store: whoever is killed there, nothing is lost, started twice or left behind."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows import crashes
from klassd.workflows.client import Client
from klassd.workflows.model.page import RunQuery
from klassd.workflows.model.states import RunStatus
from proof.application import SIZES
from proof.checks import Checks
from proof.jobs import Prints
from proof.place import Place, end, ended, owner_of, until

STORES: dict[str, Callable[[Path], str]] = {"sqlite": lambda path: f"sqlite:///{path}/klassd.db"}
LEASE = 0.6
PATIENCE = 30.0
SOURCE = Path(crashes.__file__).parent

CLIENT = ("before:enqueue", "after:enqueue")
IN_CLIENT_TOO = ("inside:transaction", "after:transaction")
OF_TEMPLATES = {"before:fork", "after:fork"}
CANCELLING = ("before:stop", "after:stop")
PRUNING = ("before:prune", "after:prune")
RELEASING = ("before:release", "after:release")
NTH = {"before:renew": 2, "after:renew": 2, "inside:transaction": 4, "after:transaction": 4, "before:reap": 2, "after:spool": 2}
# What of the catalogue each shows, beyond that of a crash between any two effects.
FAULTS = {
    "before:enqueue": "A1",
    "after:enqueue": "A2",
    "before:claim": "A3",
    "before:launch": "A4",
    "after:launch": "A5",
    "after:heard": "A6",
    "before:commit.outcome": "A7",
    "after:commit.outcome": "A8",
    "before:reap": "A9",
    "after:commit.final": "A9",
    "after:commit.expanded": "A10",
    "before:stop": "A11",
    "after:cancel": "A11",
}


def marks(names: Any) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.fault(FAULTS[name]) if name in FAULTS else ()) for name in sorted(names)]


class Case:
    def __init__(self, path: Path, store: str, mark: str) -> None:
        self.place = Place(path, STORES[store](path), LEASE)
        self.mark, self._armed = mark, path / "armed"
        self._armed.touch()
        self.crash_at = f"{mark}@{NTH.get(mark, 1)}={self._armed}"

    def enqueue(self, crash_at: str = "") -> subprocess.Popen[bytes]:
        return self.place.python("proof.application", self.place.url, "enqueue", "a key", crash_at=crash_at)

    def scheduler(self, crash_at: str = "", start: str = "auto") -> subprocess.Popen[bytes]:
        process = self.place.scheduler(crash_at, start)
        owner_of(process)
        return process

    def crashed(self, process: subprocess.Popen[bytes]) -> None:
        until(lambda: not self._armed.exists(), PATIENCE, what=f"a process at {self.mark}")
        if self.mark not in crashes.IN_WORKERS:
            assert ended(process) == -signal.SIGKILL

    def started(self) -> None:
        until(lambda: self.place.testimony().starts, PATIENCE, what="the start of a job")

    def finished(self, run_id: str, expected: set[RunStatus]) -> None:
        """The run comes to its end, and that end is true; the scheduler that is left ends in order, and leaves nothing."""

        async def wait(client: Client) -> None:
            async with asyncio.timeout(PATIENCE):
                await client.wait(run_id)

        self.place.ask(wait)
        codes = [end(process) for process in self.place.processes if process.poll() is None]
        assert set(codes) <= {0}, self.place.log.read_text()
        checks = Checks(self.place.testimony())

        async def check(client: Client) -> None:
            await checks.run(client, run_id, expected)
            assert len((await client.runs(RunQuery())).items) == 1

        self.place.ask(check)
        assert checks.done() == [], self.place.log.read_text()
        assert self.place.left_over() == []


@pytest.fixture(params=STORES)
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Case]]:
    made: list[Case] = []

    def case(mark: str) -> Case:
        made.append(Case(tmp_path, request.param, mark))
        return made[-1]

    yield case
    for each in made:
        each.place.close()


def enqueued(case: Case) -> str:
    done = case.enqueue()
    assert done.stdout
    run_id = done.stdout.read().decode().strip()
    assert ended(done) == 0
    return run_id


def output_of(case: Case, run_id: str) -> Any:
    async def output(client: Client) -> Any:
        return (await client.run(run_id)).output

    return case.place.ask(output)


# Those with pods are tried on a real cluster: tests/kubernetes/test_cluster_start_claim.py
SCENARIOS = {*crashes.WITH_PODS, *CLIENT, *CANCELLING, *RELEASING, *PRUNING, "before:cancel", "after:cancel", "after:sweep"}


@pytest.mark.parametrize("mark", marks(crashes.MARKS - SCENARIOS))
def test_a_crash_there_loses_nothing_and_starts_nothing_twice(make: Callable[[str], Case], mark: str) -> None:
    case = make(mark)
    run_id = enqueued(case)
    case.crashed(case.scheduler(case.crash_at))
    if mark not in crashes.IN_WORKERS:
        case.scheduler()
    case.finished(run_id, {RunStatus.SUCCEEDED})
    assert output_of(case, run_id) == sum(SIZES)


@pytest.mark.parametrize("mark", marks(crashes.IN_WORKERS - OF_TEMPLATES))
def test_a_crash_in_an_interpreter_of_its_own_costs_an_attempt_at_most(make: Callable[[str], Case], mark: str) -> None:
    case = make(mark)
    run_id = enqueued(case)
    case.crashed(case.scheduler(case.crash_at, start="spawn"))
    case.finished(run_id, {RunStatus.SUCCEEDED})


@pytest.mark.parametrize("mark", marks([*CLIENT, *IN_CLIENT_TOO]))
def test_a_client_that_was_killed_asks_again_with_its_key_and_there_is_one_run(make: Callable[[str], Case], mark: str) -> None:
    case = make(mark)
    case.crash_at = case.crash_at.replace("@4", "@1")
    case.crashed(case.enqueue(case.crash_at))

    async def count(client: Client) -> int:
        return len((await client.runs()).items)

    assert case.place.ask(count) == (1 if mark.startswith("after") else 0)
    run_id = enqueued(case)
    case.scheduler()
    case.finished(run_id, {RunStatus.SUCCEEDED})


@pytest.mark.parametrize("mark", marks([*CANCELLING, "before:cancel", "after:cancel"]))
def test_a_crash_while_a_run_is_cancelled_ends_with_a_cancelled_run_and_a_dead_job(
    make: Callable[[str], Case], mark: str
) -> None:
    case = make(mark)

    async def enqueue(client: Client) -> str:
        return await client.enqueue(Prints(hold=1000))

    async def cancel(client: Client) -> None:
        await client.cancel(run_id)

    run_id = case.place.ask(enqueue)
    scheduler = case.scheduler(case.crash_at if mark in CANCELLING else "")
    case.started()
    if mark in CANCELLING:
        case.place.ask(cancel)
        case.crashed(scheduler)
        case.scheduler()
    else:
        arguments = ("proof.application", case.place.url, "cancel", run_id)
        case.crashed(case.place.python(*arguments, crash_at=case.crash_at))
        case.place.ask(cancel)
    case.finished(run_id, {RunStatus.CANCELLED})


@pytest.mark.parametrize("mark", RELEASING)
def test_a_crash_while_a_scheduler_ends_in_order_costs_nothing(make: Callable[[str], Case], mark: str) -> None:
    case = make(mark)
    run_id = enqueued(case)
    scheduler = case.scheduler(case.crash_at)
    case.started()
    scheduler.terminate()
    case.crashed(scheduler)
    case.scheduler()
    case.finished(run_id, {RunStatus.SUCCEEDED})


def test_a_crash_while_old_files_are_swept_costs_nothing(make: Callable[[str], Case]) -> None:
    case = make("after:sweep")
    run_id = enqueued(case)
    spools = case.place.state / "spool"
    spools.mkdir(parents=True)
    for name in ("one.log", "two.log"):
        (spools / name).touch()
        os.utime(spools / name, (time.time() - 10_000,) * 2)
    case.crashed(case.scheduler(case.crash_at))
    case.scheduler()
    case.finished(run_id, {RunStatus.SUCCEEDED})


@pytest.mark.parametrize("mark", PRUNING)
def test_a_crash_while_old_runs_are_removed_leaves_no_artifact_of_a_run_that_is_gone(
    make: Callable[[str], Case], mark: str
) -> None:
    case = make(mark)
    run_id = enqueued(case)
    case.scheduler()
    case.finished(run_id, {RunStatus.SUCCEEDED})
    artifacts = case.place.path / "artifacts"
    artifact = artifacts / run_id / "execution" / "name"
    artifact.parent.mkdir(parents=True)
    artifact.touch()
    case.crashed(case.place.python("proof.application", case.place.url, "prune", str(artifacts), crash_at=case.crash_at))
    assert not artifact.exists()
    again = case.place.python("proof.application", case.place.url, "prune", str(artifacts))
    assert again.stdout
    assert again.stdout.read().decode().strip() == ("1" if mark == "before:prune" else "0")
    assert ended(again) == 0

    async def count(client: Client) -> int:
        return len((await client.runs()).items)

    assert case.place.ask(count) == 0


# -- the marks themselves -------------------------------------------------------------------------------------------


def in_the_code() -> Iterator[str]:
    sources = [text for path in SOURCE.rglob("*.py") if "crashes import mark" in (text := path.read_text())]
    for text in sources:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "mark":
                name = ast.literal_eval(node.args[0])
                yield from [f"{name}.{kind}" for kind in crashes._KINDS] if len(node.args) == 2 else [name]


def test_every_mark_in_the_code_is_listed_and_every_listed_one_is_there_once() -> None:
    assert sorted(in_the_code()) == sorted(crashes.MARKS)
    assert len(crashes.MARKS) >= 40


def test_a_mark_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"'before:lunch'.*before:launch"):
        crashes.marker({"KLASSD_CRASH_AT": "before:lunch"})


def test_without_the_variable_a_mark_is_an_empty_function() -> None:
    assert crashes.marker({}) is crashes._nothing and crashes._nothing.__code__.co_names == ()

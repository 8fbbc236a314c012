"""One database, several real processes: they share the runs, wake each other, and may be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from klassd.workflows.model.states import RunStatus
from klassd.workflows.sockets import socket_dir
from klassd.workflows.stores.sqlite import SqliteStore
from klassd.workflows.stores.sqlite.hints import Sockets
from klassd.workflows.testing.store_checks.bench import Bench, soon
from klassd.workflows.testing.stores import StoreConformance

SCRIPT = Path(__file__).with_name("other_process.py")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "klassd.db"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts ``other_process.py``; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(verb: str, argument: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPT), verb, str(path), argument]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def on_bench(path: Path, scene: Callable[[Bench], object]) -> None:
    class Here(StoreConformance):
        def factory(self) -> Callable[[], SqliteStore]:
            return lambda: SqliteStore(path)

    async def play() -> None:
        bench = Bench(Here())
        bench.store = await bench.another()
        try:
            await scene(bench)  # type: ignore[misc]
        finally:
            await bench.close()

    asyncio.run(play())


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


async def said_by(process: subprocess.Popen[str]) -> str:
    """Its next line, within ten seconds; else it is killed, so that nobody waits for it any more."""
    try:
        async with asyncio.timeout(10):
            return await asyncio.to_thread(heard, process)
    except TimeoutError:
        process.kill()
        raise


def together(processes: list[subprocess.Popen[str]]) -> list[list[str]]:
    """Let them loose at the same moment; the lines each says until it ends by itself."""
    for process in processes:
        assert heard(process) == "ready"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return said


@pytest.mark.fault("B1", "C12")
def test_four_processes_share_all_runs_and_lose_none(path: Path, start: Start) -> None:
    ids: list[str] = []

    async def fill(bench: Bench) -> None:
        ids.extend(await bench.store.enqueue([bench.new(queue=f"q{n % 2}", priority=n % 3) for n in range(400)]))

    async def check(bench: Bench) -> None:
        assert (await bench.store.counts()).by_name == await bench.recount()
        assert (await bench.store.counts()).total(RunStatus.SUCCEEDED) == 400

    on_bench(path, fill)
    said = together([start("work", f"owner-{n}") for n in range(4)])
    claims = [line.split() for lines in said for line in lines]
    assert Counter(run_id for run_id, _, _ in claims) == Counter(ids)  # each once, none lost
    assert {(epoch, ended) for _, epoch, ended in claims} == {("1", "True")}
    on_bench(path, check)


@pytest.mark.fault("C10")
def test_processes_that_open_a_new_database_at_once_make_its_schema_once(path: Path, start: Start) -> None:
    assert together([start("open_together") for _ in range(4)]) == [["opened"]] * 4
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.fault("A1", "C12")
def test_a_writer_that_is_killed_leaves_everything_acknowledged_and_nothing_half(path: Path, start: Start) -> None:
    enqueued: list[str] = []
    started: list[str] = []
    for round_ in range(5):
        process = start("write", f"owner-{round_}")
        for _ in range(20 + 7 * round_):
            _note(heard(process), enqueued, started)
        process.kill()
        for line in process.communicate()[0].splitlines()[:-1]:  # the last may be cut
            _note(line, enqueued, started)

    async def check(bench: Bench) -> None:
        runs = {run.id: run for run in await bench.all_runs(limit=100)}
        assert set(enqueued) <= set(runs)
        assert len(runs) % 3 == 0  # by threes, or not at all
        tagged = await bench.all_runs(tag="two", limit=100)
        assert {run.id for run in tagged} == set(runs)
        for run_id in started:
            assert len(await bench.all_executions(run_id)) == 2
        for run_id in runs:
            assert len(await bench.all_executions(run_id)) in (0, 2)
        assert (await bench.store.counts()).by_name == await bench.recount()

    on_bench(path, check)
    assert len(started) >= 25
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def _note(line: str, enqueued: list[str], started: list[str]) -> None:
    verb, *ids = line.split()
    {"enqueued": enqueued, "started": started}[verb].extend(ids)


def test_another_process_is_woken_by_a_change(path: Path, start: Start) -> None:
    async def scene(bench: Bench) -> None:
        watcher = start("watch")
        assert await said_by(watcher) == "watching"
        for _ in range(3):
            await bench.enqueue()
            assert await said_by(watcher) == "hint"

    on_bench(path, scene)


def test_the_socket_of_a_killed_watcher_is_cleared_away(path: Path, start: Start) -> None:
    async def scene(bench: Bench) -> None:
        watcher = start("watch")
        assert await said_by(watcher) == "watching"
        watcher.kill()
        await asyncio.to_thread(watcher.wait)
        assert len(sockets_of(path)) == 1
        await bench.enqueue()
        await bench.enqueue()  # the first group's hints are sent before the second group begins
        assert sockets_of(path) == []

    on_bench(path, scene)


def sockets_of(path: Path) -> list[str]:
    directory = socket_dir(str(path.parent))
    return [os.path.join(top, name) for top, _, names in os.walk(directory) for name in names]


def test_a_watcher_clears_its_socket_away(path: Path) -> None:
    async def scene(bench: Bench) -> None:
        hints = bench.store.watch()
        waiting = asyncio.ensure_future(anext(aiter(hints)))
        await asyncio.sleep(0)
        assert len(sockets_of(path)) == 1
        await bench.enqueue()
        await soon(waiting)
        await hints.aclose()  # type: ignore[attr-defined]
        assert sockets_of(path) == []

    on_bench(path, scene)


def test_a_databases_watchers_are_not_woken_by_another_in_the_same_directory(path: Path) -> None:
    one, other = Sockets(str(path)), Sockets(str(path.with_name("other.db")))
    one.open()
    other.open()

    async def scene() -> None:
        rung, others = asyncio.Event(), asyncio.Event()
        with other.listening(others.set), one.listening(rung.set):
            sender = Sockets(str(path))
            sender.open()
            sender.send()
            await soon(rung.wait())
            sender.close()
        assert not others.is_set()

    asyncio.run(scene())
    one.close()
    other.close()


def test_a_watcher_that_does_not_read_holds_nobody_up(path: Path) -> None:
    listener, sender = Sockets(str(path)), Sockets(str(path))
    listener.open()
    sender.open()

    async def scene() -> None:
        with listener.listening(lambda: None):
            for _ in range(2000):  # more than a socket holds
                sender.send()

    asyncio.run(scene())
    listener.close()
    sender.close()


def test_without_sockets_watchers_of_the_same_store_are_still_rung(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(state_dir: str) -> str:
        raise PermissionError("no place for sockets")

    monkeypatch.setattr("klassd.workflows.stores.sqlite.hints.socket_dir", refuse)

    async def scene(bench: Bench) -> None:
        hints = aiter(bench.store.watch())
        waiting = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0)
        await bench.enqueue()
        await soon(waiting)
        await hints.aclose()  # type: ignore[attr-defined]

    on_bench(path, scene)

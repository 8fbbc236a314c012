import contextlib
import os
import socket

import pytest

from klassd.workflows.executors.local.sweep import FORGOTTEN, SOCKET, TOMBSTONE, sweep

NOW = 2_000_000_000.0


@pytest.fixture
def directories(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "sockets").mkdir()
    return tmp_path / "spool", tmp_path / "sockets"


def aged(path, age, content=b""):
    path.write_bytes(content)
    os.utime(path, (NOW - age, NOW - age))


def left(directory):
    return {path.name for path in directory.iterdir()}


def test_a_tombstone_stands_for_an_hour(directories):
    spools, sockets = directories
    aged(spools / "old.log", TOMBSTONE + 1)
    aged(spools / "new.log", TOMBSTONE - 1)
    assert sweep(str(spools), str(sockets), NOW) == 1
    assert left(spools) == {"new.log"}


@pytest.mark.fault("A9", "A13")
def test_a_console_and_its_outcome_wait_for_a_scheduler_for_a_month(directories):
    spools, sockets = directories
    for name, age in (("kept", FORGOTTEN - 1), ("old", FORGOTTEN + 1)):
        aged(spools / f"{name}.log", age, b"x")
        aged(spools / f"{name}.end", age, b"x")
    sweep(str(spools), str(sockets), NOW)
    assert left(spools) == {"kept.log", "kept.end"}


def test_what_was_left_half_made_goes_and_so_does_an_outcome_nobody_waits_for(directories):
    spools, sockets = directories
    aged(spools / "a.log.1234", TOMBSTONE + 1, b"x")
    aged(spools / "a.end.tmp", TOMBSTONE + 1, b"x")
    aged(spools / "reaped.log", 0.0)
    aged(spools / "reaped.end", TOMBSTONE + 1, b"x")
    aged(spools / "b.log.1234", TOMBSTONE - 1, b"x")
    sweep(str(spools), str(sockets), NOW)
    assert left(spools) == {"reaped.log", "b.log.1234"}


def test_sockets_without_a_template_go_and_those_that_answer_stay(directories, monkeypatch):
    spools, sockets = directories
    monkeypatch.chdir(sockets)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as dead:
        living.bind("t-living")
        living.listen()
        dead.bind("t-dead")
        for name in ("t-living", "t-dead"):
            os.utime(name, (NOW - SOCKET - 1, NOW - SOCKET - 1))
        aged(sockets / "hints-of-the-store", SOCKET + 1)
        sweep(str(spools), ".", NOW)
    assert left(sockets) == {"t-living", "hints-of-the-store"}


def test_a_socket_whose_template_is_stopped_stays_and_holds_nobody_up(directories, monkeypatch):
    spools, sockets = directories
    monkeypatch.chdir(sockets)
    with contextlib.ExitStack() as stack:
        stopped = stack.enter_context(socket.socket(socket.AF_UNIX))
        stopped.bind("t-stopped")
        stopped.listen(0)
        os.utime("t-stopped", (NOW - SOCKET - 1, NOW - SOCKET - 1))
        with pytest.raises(BlockingIOError):
            while True:  # until nobody more fits into its queue
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect("t-stopped")
        sweep(str(spools), ".", NOW)
    assert left(sockets) == {"t-stopped"}

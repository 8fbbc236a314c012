import os
import signal
import subprocess
import sys

import pytest
from local_help import is_gone

from klassd.workflows.executors.local import identity, processes
from klassd.workflows.frames import dumps, encode
from klassd.workflows.order import End
from klassd.workflows.testing.executors import hear, run

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def test_a_zombie_counts_as_dead():
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert identity.find(child) is None
    os.waitpid(child, 0)
    assert identity.find(child) is None


def test_only_what_carries_the_mark_or_belongs_to_the_job_is_killed():
    own = identity.find(os.getpid())
    marked = subprocess.Popen(SLEEPER, env=os.environ | {identity.COOKIE: "the mark"}, start_new_session=True)
    other = subprocess.Popen(SLEEPER, env=os.environ | {identity.COOKIE: "the mark of another"})
    job = subprocess.Popen(SLEEPER, start_new_session=True)
    leader = identity.find(job.pid)
    try:
        assert identity.kill_left_behind("the mark", (job.pid, leader.start + 1), own.start) == 1
        assert marked.wait() == -signal.SIGKILL
        assert not is_gone(job.pid)
        assert identity.kill_left_behind("the mark", (job.pid, leader.start), own.start) == 1
        assert job.wait() == -signal.SIGKILL
        assert identity.kill_left_behind("the mark", (job.pid, leader.start), own.start) == 0
        assert not is_gone(other.pid)
    finally:
        for process in (marked, other, job):
            process.kill()
            process.wait()


def test_a_signal_reaches_that_very_process_or_nobody():
    child = subprocess.Popen(SLEEPER)
    start = identity.find(child.pid).start
    try:
        identity.send(child.pid, start + 1, signal.SIGKILL)
        identity.send(child.pid, start, signal.SIGUSR1)
        assert child.wait() == -signal.SIGUSR1
        identity.send(child.pid, start, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()


def test_the_outcome_of_a_dead_supervisor_counts_even_if_its_console_could_not_be_written(place):
    async def check():
        async with place.executor() as own:
            hello = dumps({"v": "1", "boot": identity.boot_id(), "pid": 2**22 + 1, "start": 1, "sock": ""})
            place.write_spool("x", encode("0" * 32, 0, "hello", 1, hello))
            place.write_end("x", End(result="success", finished_at=5.0))
            return await hear(own, "x")

    finished = run(check).finished
    assert finished.end.result == "success" and finished.at == 5.0


@pytest.mark.parametrize("size", [100, processes.LOG_LIMIT + 1])
def test_the_log_of_the_workers_keeps_its_end_and_never_grows_without_bound(tmp_path, size):
    log = tmp_path / "worker.log"
    log.write_bytes(b"x" * size + b"the end\n")
    with open(log, "ab") as held:
        processes.trim(str(log))
        held.write(b"and on\n")
    text = log.read_bytes()
    assert text.endswith(b"the end\nand on\n") and len(text) <= max(200, 17 * 1024)

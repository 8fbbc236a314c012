"""Jobs that the worker's tests run: each misbehaves in its own way."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import field
from typing import Any

from klassd.workflows.errors import JobCancelled, PermanentError
from klassd.workflows.job import Job


def wait_for_ever() -> None:
    """In naps: a signal that comes after Python's last look and before a system call begins is heard when the call is over."""
    while True:
        time.sleep(0.05)


class Add(Job):
    a: int
    b: int = 1

    def run(self, ctx: Any) -> int:
        return self.a + self.b


class AddAwaiting(Job):
    a: int

    async def run(self, ctx: Any) -> int:
        await asyncio.sleep(0)
        return self.a + 1


class Print(Job):
    lines: list[str] = field(default_factory=list)

    def run(self, ctx: Any) -> None:
        for line in self.lines:
            print(line)


class Write(Job):
    """Bytes given as latin-1 text to file descriptors, one write each."""

    writes: list[tuple[int, str]]

    def run(self, ctx: Any) -> str:
        for fd, data in self.writes:
            os.write(fd, data.encode("latin-1"))
        return "intact"


class Mixed(Job):
    """All ways to the console, in an order that only one thread can have."""

    def run(self, ctx: Any) -> None:
        for number in range(20):
            print(f"print {number}")
            ctx.log(f"log {number}")
            print(f"stderr {number}", file=sys.stderr)
            logging.getLogger("my.logger").warning("logging %d", number)
        os.write(2, b"raw\n")


class HalfALine(Job):
    def run(self, ctx: Any) -> str:
        print("no newline", end="")
        ctx.set_output("size", 3)
        ctx.log("said")
        print(" and its end")
        return "done"


class Redirects(Job):
    how: str

    def run(self, ctx: Any) -> str:
        print("before")
        if self.how == "redirect_stdout":
            text = io.StringIO()
            with contextlib.redirect_stdout(text):
                print("captured")
                ctx.log("logged")
            return text.getvalue()
        if self.how == "devnull":
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        elif self.how == "close":
            os.close(1)
        elif self.how == "close both":
            os.close(1)
            os.close(2)
        elif self.how == "sys.stdout":
            sys.stdout.close()
        elif self.how == "None":
            sys.stdout = sys.stderr = None  # type: ignore[assignment]
        ctx.log("after")
        return self.how


class RedirectToFile(Job):
    path: str

    def run(self, ctx: Any) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        print("into the file")
        ctx.log("into the console")
        print("into the file too")


class Fails(Job):
    permanent: bool = False

    def run(self, ctx: Any) -> None:
        raise PermanentError("never") if self.permanent else ValueError("no such market")


class FailsLongWinded(Job):
    def run(self, ctx: Any) -> None:
        ctx.set_output("partial", 1)
        raise RuntimeError("\N{PILE OF POO}" * 5000)


class Ends(Job):
    """Ends its process in a way that leaves no result."""

    how: str

    def run(self, ctx: Any) -> str:
        if self.how == "_exit":
            os._exit(0)
        if self.how == "sys.exit":
            sys.exit(3)
        if self.how == "sys.exit text":
            sys.exit("because")
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "segfault":
            ctypes.string_at(0)
        return "not reached"


class ExitsInThread(Job):
    def run(self, ctx: Any) -> str:
        thread = threading.Thread(target=lambda: sys.exit(5))
        thread.start()
        thread.join()
        return "the main thread goes on"


class ThreadOutlives(Job):
    def run(self, ctx: Any) -> str:
        def late() -> None:
            print("from the thread")

        threading.Timer(0.1, late).start()
        return "returned before"


class Teardown(Job):
    """Succeeds, and then something happens."""

    how: str

    def run(self, ctx: Any) -> str:
        atexit.register(self.later)
        return "recorded"

    def later(self) -> None:
        print("teardown")
        if self.how == "raise":
            raise RuntimeError("in teardown")
        if self.how == "_exit":
            os._exit(9)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


class Forks(Job):
    """Leaves processes behind."""

    how: str

    def run(self, ctx: Any) -> int:
        if self.how == "holds stdout":
            return subprocess.Popen(["sleep", "1000"]).pid
        if self.how == "own session":
            return subprocess.Popen(
                ["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            ).pid
        return self.double_fork()

    def double_fork(self) -> int:
        reader, writer = os.pipe()
        if not (first := os.fork()):
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(writer, b"%d" % os.getpid())
            for fd in range(30):
                with contextlib.suppress(OSError):
                    os.close(fd)
            wait_for_ever()
        os.waitpid(first, 0)
        return int(os.read(reader, 20))


class ForksAndReturns(Job):
    """Its child comes back from ``run`` too."""

    def run(self, ctx: Any) -> str:
        if pid := os.fork():
            os.waitpid(pid, 0)
            return "parent"
        print("the child prints")
        return "child"


class ForkedPrints(Job):
    def run(self, ctx: Any) -> str:
        for number in range(3):
            if not (pid := os.fork()):
                print(f"child {number}")
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(pid, 0)
            ctx.log(f"parent {number}")
        return subprocess.run(["echo", "from a program"], check=True).args[1]


class Stops(Job):
    """Waits to be stopped, and takes it in its own way."""

    how: str = "obey"

    def run(self, ctx: Any) -> str:
        if self.how == "ignore":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            ctx.signal_ready()
            wait_for_ever()
        except JobCancelled:
            print(f"cancelled: {ctx.cancelled}")
            if self.how != "return":
                raise
        return "returned all the same"


class StopsAwaiting(Job):
    how: str = "obey"

    async def run(self, ctx: Any) -> str:
        try:
            ctx.signal_ready()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print(f"cancelled: {ctx.cancelled}")
            if self.how == "fail":
                raise ValueError("while it stopped") from None
            if self.how != "return":
                raise
        return "returned all the same"


class HoldsGil(Job):
    def run(self, ctx: Any) -> None:
        ctx.signal_ready()
        sum(range(10**13))


class Outputs(Job):
    values: dict[str, Any] = field(default_factory=dict)
    result: Any = None

    def run(self, ctx: Any) -> Any:
        for name, value in self.values.items():
            ctx.set_output(name, value)
        return self.result


class Returns(Job):
    expression: str

    def run(self, ctx: Any) -> Any:
        return {"large": "x" * 70_000, "set": object(), "unicode": "\u2028é\N{PILE OF POO}" * 3000}[self.expression]


class Bars(Job):
    def run(self, ctx: Any) -> None:
        ctx.progress(25, "a quarter")
        for _ in ctx.track(range(3)):
            for _ in ctx.track(range(2), name="inner"):
                pass
        ctx.progress(100, "all")


class ManyBars(Job):
    """As quick as it can for half a second."""

    def run(self, ctx: Any) -> int:
        sent, until = 0, time.monotonic() + 0.5
        while time.monotonic() < until:
            sent += 1
            ctx.progress(sent % 100)
        ctx.progress(77.0)
        return sent


class Logs(Job):
    def run(self, ctx: Any) -> None:
        log = logging.getLogger("shop")
        log.debug("hidden")
        log.info("two\nlines")
        ctx.log("careful", level="WARNING")
        ctx.log({"any": "object"}, level=15)
        warnings.warn("old", stacklevel=1)
        try:
            raise KeyError("inside")
        except KeyError:
            log.exception("failed")


class LogsLong(Job):
    def run(self, ctx: Any) -> None:
        ctx.log("é" * 100_000)
        ctx.log("\n".join(f"line {number}" for number in range(5000)))


class Context(Job):
    x: int = 5

    def run(self, ctx: Any) -> dict[str, Any]:
        names = "run_id execution_id node index attempt tenant tags arguments config idempotency_key fencing_token cancelled"
        return {name: getattr(ctx, name) for name in names.split()}


class Process(Job):
    """What of its own process a job can see."""

    def run(self, ctx: Any) -> dict[str, Any]:
        links = {}
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                links[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
        environment = {name: value for name, value in os.environ.items() if name.startswith("KLASSD")}
        return {
            "pid": os.getpid(),
            "sid": os.getsid(0),
            "pgid": os.getpgid(0),
            "ppid": os.getppid(),
            "fds": links,
            "env": environment,
            "stdin": sys.stdin.read(),
            "handlers": {name: str(signal.getsignal(getattr(signal, name))) for name in ("SIGCHLD", "SIGINT")},
        }


class Floods(Job):
    """``size`` MiB without a newline."""

    size: int

    def run(self, ctx: Any) -> str:
        block = b"z" * (1 << 20)
        for _ in range(self.size):
            rest = block
            while rest:
                rest = rest[os.write(1, rest) :]
        return "all written"


class PrintsMany(Job):
    lines: int

    def run(self, ctx: Any) -> float:
        begun = time.perf_counter()
        for number in range(self.lines):
            print(f"this is line {number} of a console that many will never read")
        return time.perf_counter() - begun


class Modules(Job):
    def run(self, ctx: Any) -> list[str]:
        return sorted(sys.modules)


class Forges(Job):
    """Prints what a supervisor would say, with what it knows and what it can guess."""

    def run(self, ctx: Any) -> str:
        import zlib

        body = json.dumps({"result": "failure"}).encode()
        for nonce in ("0" * 32, os.environ.get("KLASSD_NONCE", "f" * 32)):
            frame = b"\x1e%s 2 end 1 %d %08x %s\n" % (nonce.encode(), len(body), zlib.crc32(body), body)
            for fd in (1, 2):
                os.write(fd, frame)
                for byte in frame:
                    os.write(fd, bytes([byte]))
        for size in range(1, 20):
            os.write(1, b"\x1e" + b"a" * size)
        return "succeeded"


class ForgesMarkers(Job):
    """Writes real markers, stolen from its own memory, without messages."""

    def run(self, ctx: Any) -> str:
        marker = ctx._channel._marker
        for number in range(200):
            os.write(1, b"%d\n" % number + marker)
        ctx.log("the only message")
        return "succeeded"


class Faulty(Job):
    """A control channel that says nonsense."""

    def run(self, ctx: Any) -> str:
        for message in (b"?", b"L", b"L x y", b"Pnothing", b"P[]", b"V", b"R\xff", b"X[1", b"E", b"\xff" * 100):
            os.write(ctx._channel._control, message)
        ctx.log("still there")
        return "succeeded"


class Prompts(Job):
    def run(self, ctx: Any) -> None:
        print("password: ", end="", flush=True)
        wait_for_ever()


class LogsConfigured(Job):
    how: str

    def run(self, ctx: Any) -> None:
        log = logging.getLogger("shop")
        if self.how == "level":
            logging.getLogger().setLevel(logging.DEBUG)
        elif self.how == "basicConfig level":
            logging.basicConfig(level=logging.DEBUG)
        log.debug("debug")
        log.info("info")
        log.warning("warning")


class LeavesAndEnds(Job):
    how: str

    def run(self, ctx: Any) -> None:
        quiet = subprocess.DEVNULL
        print(subprocess.Popen(["sleep", "1000"], stdout=quiet, stderr=quiet, start_new_session=True).pid)
        if self.how == "_exit":
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


class LeavesAFlood(Job):
    def run(self, ctx: Any) -> int:
        return subprocess.Popen(["yes", "a line that never ends to be printed"]).pid

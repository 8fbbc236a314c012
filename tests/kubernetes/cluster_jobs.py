"""Jobs for the tests on a real cluster: in the image and here, so that both sides know them by the same name."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from klassd.workflows import App, Grow, Http, Job, JobContext, Pod, Resources, Retry, Workflow
from klassd.workflows.errors import JobCancelled

TOKEN = secrets.token_hex(8)  # of this process


class Steps(Job):
    """Draws a bar to its end."""

    count: int = 20

    def run(self, ctx: JobContext) -> int:
        for number in ctx.track(range(self.count)):
            print(f"step {number + 1}")
        return self.count


class Broken(Job):
    def run(self, ctx: JobContext) -> None:
        print("about to break")
        raise RuntimeError("the disk is on fire")


class Sleeper(Job):
    """Until it is stopped."""

    def run(self, ctx: JobContext) -> None:
        print("sleeping", flush=True)
        try:
            threading.Event().wait()
        except JobCancelled:
            print("woken", flush=True)
            raise


class WhoAmI(Job):
    def run(self, ctx: JobContext) -> dict[str, int]:
        return {"user": os.getuid(), "group": os.getgid()}


class Environment(Job):
    """What stands in some variables."""

    names: list[str]

    def run(self, ctx: JobContext) -> dict[str, str]:
        return {name: os.environ[name] for name in self.names}


class Reads(Job):
    """What stands in a file."""

    path: str

    def run(self, ctx: JobContext) -> str:
        return Path(self.path).read_text()


class Hungry(Job):
    """Takes more memory than it may."""

    def run(self, ctx: JobContext) -> int:
        print("eating", flush=True)
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1024) * 4096))


class Growing(Job, resources=Resources(memory="64Mi"), retry=Retry(0, backoff=1, on={"oom": Grow(memory=2, max="512Mi")})):
    """Needs more than twice what it may have at first, and less than four times."""

    def run(self, ctx: JobContext) -> int:
        hoard = [os.urandom(1024) * 1024 for _ in range(150)]
        return len(hoard)


class Talkative(Job):
    """Says a number of lines and returns which pod it was."""

    number: int
    lines: int = 5
    seconds: float = 0.0  # that it takes to say them

    def run(self, ctx: JobContext) -> str:
        for line in range(self.lines):
            print(f"{self.number}: line {line}")
            if self.seconds:
                threading.Event().wait(self.seconds / self.lines)
        return socket.gethostname()


class Floods(Job):
    """Says so many lines, so wide, and before some of them nothing for so many seconds."""

    lines: int
    width: int
    pauses: dict[str, float]

    def run(self, ctx: JobContext) -> None:
        for number in range(self.lines):
            if seconds := self.pauses.get(str(number)):
                threading.Event().wait(seconds)
            print(f"{number} ".ljust(self.width, "."))


class Witnessed(Job):
    """Says over HTTP that it begins, prints its lines, and says that it has ended: what really happened, whatever is stored."""

    number: int
    witness: str
    lines: int = 50
    seconds: float = 4.0

    def run(self, ctx: JobContext) -> str:
        self._tell("begun", ctx)
        for line in ctx.track(range(self.lines)):
            print(f"{self.number}: line {line}", flush=True)
            threading.Event().wait(self.seconds / self.lines)
        self._tell("ended", ctx)
        return socket.gethostname()

    def _tell(self, what: str, ctx: JobContext) -> None:
        """Told again until it is heard: of lines that are the same, the witness keeps one. A process has a token of its own."""
        line = f"{what} {self.number} {ctx.attempt} {socket.gethostname()} {TOKEN}"
        for _ in range(20):
            try:
                with urllib.request.urlopen(self.witness, data=line.encode(), timeout=5) as answer:
                    answer.read()
                return
            except OSError:
                threading.Event().wait(0.5)
        raise TimeoutError(f"{self.witness} does not answer")


class Unlucky(Job):
    """Fails at its first attempt."""

    def run(self, ctx: JobContext) -> int:
        if ctx.attempt == 1:
            raise RuntimeError("unlucky")
        return ctx.attempt


class Numbers(Job):
    count: int

    def run(self, ctx: JobContext) -> list[int]:
        return list(range(self.count))


class Shown(Job):
    names: list[str]

    def run(self, ctx: JobContext) -> int:
        return len(set(self.names))


class Greeter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello {self.path[1:]} from {socket.gethostname()}".encode())


class Greetings(Job, grace="3s"):
    """A server, until it is stopped."""

    def run(self, ctx: JobContext) -> None:
        try:
            HTTPServer((ctx.pod_ip, ctx.port or 0), Greeter).serve_forever()
        except JobCancelled:
            print("closed", flush=True)
            raise


class Greet(Job):
    """Asks the server, now and again ``after`` seconds."""

    at: str
    after: float = 0.0

    def run(self, ctx: JobContext) -> str:
        for _ in range(2):
            with urllib.request.urlopen(f"http://{self.at}/{ctx.node}") as answer:
                said: str = answer.read().decode()
            print(said, flush=True)
            threading.Event().wait(self.after)
        return said


def everything() -> Workflow:
    """A retry, a node that is omitted, and data between pods."""
    flow = Workflow("everything")
    lucky = flow.add("lucky", Unlucky(), retry=Retry(2))
    numbers = flow.add("numbers", Numbers(count=2), after=[lucky])
    items = flow.map("item", lambda number: Talkative(number=number), over=numbers.output)
    shown = flow.add("shown", Shown(names=items.output))
    flow.add("rescue", Steps(count=1), when=numbers.failed)
    flow.returns(shown.output)
    return flow


def witnessed(pods: int, witness: str) -> Workflow:
    """Each pod tells ``witness``, a URL, that it ran."""
    flow = Workflow("witnessed")
    numbers = flow.add("numbers", Numbers(count=pods))
    items = flow.map("item", lambda number: Witnessed(number=number, witness=witness), over=numbers.output)
    shown = flow.add("shown", Shown(names=items.output))
    flow.returns(shown.output)
    return flow


def no_image() -> Workflow:
    flow = Workflow("no-image")
    flow.add("steps", Steps(count=1), pod=Pod(image="registry.invalid/none:1"), start_deadline="6s")
    return flow


def greeting(after: float) -> Workflow:
    flow = Workflow("greeting")
    server = flow.service("server", Greetings(), ready=Http("/health"), port=8080)
    greeted = flow.add("greet", Greet(at=server.address, after=after))
    flow.returns({"said": greeted.output, "at": server.host})
    return flow


JOBS = [Steps, Broken, Sleeper, Talkative, Growing, Environment, Reads]
app = App(jobs=[*JOBS, everything(), witnessed(1, ""), no_image(), greeting(0.0)])

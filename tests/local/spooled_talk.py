"""A job's talk as its supervisor writes it down, with the parts that do so, and what has to come of it."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass

from klassd.workflows.executors.local.spool import Spool, log_path
from klassd.workflows.frames import MAX_LINE, dumps
from klassd.workflows.model.execution import Finished, Output, Progress
from klassd.workflows.order import Order
from klassd.workflows.worker.channel import Channel
from klassd.workflows.worker.claim import Identity, claim, fitting
from klassd.workflows.worker.execution import SHOW, Execution, Failure

NONCE = "0123456789abcdef" * 2
PID = 3
OPEN = 1 << 60  # a line that nothing has ended


@dataclass(frozen=True)
class Line:
    """``begun`` and ``ended``: at which step of the talk its first byte and its newline came."""

    text: str
    begun: int
    ended: int


class _Kept(Channel):
    """The job's end of the control socket, its packets kept."""

    def __init__(self):
        super().__init__(-1, b"", -1)
        self.packets = []

    def send(self, kind, body=b"", *, ordered=True):
        self.packets.append((kind, body))


class Talk:
    """One execution and its spool file. ``streams`` and ``logged``: what was said, by itself."""

    def __init__(self, directory):
        order = Order(execution_id="x", run_id="r", node="n", job="J", source="jobs:J", nonce=NONCE)
        self._path = log_path(directory, "x")
        self.execution = Execution(order, claim(directory, order, Identity("9.9")))
        self.execution.say("start", dumps({"pid": PID, "start": 4}))
        self.streams = {1: [], 2: []}  # of (step, bytes)
        self.logged, self.bars, self.values = [], {}, {}
        self.ready = False
        self._step = 0

    def play(self, script):
        for what, *said in script:
            self._step += 1
            getattr(self, what)(*said)

    def raw(self, fd, data):
        self.streams[fd].append((self._step, data))
        self.execution.console.raw(fd, data, 0.0)

    def flood(self, fd, unit, size):
        self.raw(fd, unit * (size // len(unit)))

    def log(self, text):
        self.logged += [Line(line, self._step, self._step) for line in text.removesuffix("\n").split("\n")]
        self._tell(lambda channel: channel.record(20, text))

    def value(self, name, value):
        if name not in self.values:
            self.values[name] = json.dumps(value).encode()
            self._tell(lambda channel: channel.value(name, self.values[name]))

    def bar(self, name, at):
        self.bars[name] = {"at": at}
        self.execution.bars[name] = {"at": at}

    def service(self):
        self.ready = True
        self.execution.say("ready", b"{}")

    def wait(self):
        """Long enough for all that waits to be shown."""
        self.execution.console.give_out(SHOW, SHOW)
        if self.execution.bars:
            self.execution.show_bars(0.0)
        self.execution.flush()

    def end(self, succeeds):
        """As the supervisor does it. What its spool file holds, and the outcome."""
        execution = self.execution
        execution.succeeded, execution.status = succeeds, 0
        execution.failure = None if succeeds else Failure(type="ValueError", message="boom")
        self.wait()
        execution.console.close()
        for body in execution.values if succeeds else ():
            execution.say("val", body)
        end = execution.end()
        execution.say("end", fitting(end))
        execution.flush()
        os.close(execution.sink)
        with open(self._path, "rb") as file:
            return file.read(), end

    def _tell(self, said):
        channel = _Kept()
        said(channel)
        for kind, body in channel.packets:
            if kind == b"V":
                piece = json.loads(body)
                self.execution.take_value(piece["k"], piece["p"], body)
            else:
                lines, _, rest = body.partition(b" ")
                self.execution.console.record(int(lines), rest, kind == b"l")

    def lines(self):
        """By stream, in its order."""
        out, err = (_lines(self.streams[fd]) for fd in (1, 2))
        return {"stdout": out, "stderr": err, "log": self.logged}


def _lines(written):
    """Parted at newlines, and at the longest length, but not inside a character; what is no UTF-8 shown as escapes."""
    data = b"".join(part for _, part in written)
    steps = list(itertools.accumulate(len(part) for _, part in written))
    lines, start = [], 0

    def step(at):
        return next((written[i][0] for i, end in enumerate(steps) if at < end), OPEN)

    while start < len(data):
        newline = data.find(b"\n", start)
        end = newline if newline >= 0 else len(data)
        if end - start > MAX_LINE:
            longest = start + MAX_LINE
            end = next((at for at in range(longest, longest - 4, -1) if data[at] & 0xC0 != 0x80), longest)
        lines.append(Line(data[start:end].decode("utf-8", "backslashreplace"), step(start), step(end)))
        start = end + (end == newline)
    return lines


class Listener:
    """Keeps what one follower after another tells, as an engine that crashes at any moment does."""

    def __init__(self, directory):
        self._directory = directory
        self.chunks, self.events, self.bars = [], [], {}
        self.finished = None
        self._spool = self._follow()

    def _follow(self):
        if not self.chunks:
            return Spool(self._directory, "x")
        last = self.chunks[-1]
        return Spool(self._directory, "x", last.cursor, last.first_seq + 1, last.first_line + last.lines)

    def listen(self, most=None):
        """Hear what is new; whether there may be more. ``most``: so much of it is kept, then another follows in its place."""
        told = self._spool.read()
        more = bool(told) or self._spool.more
        for each in told[:most]:
            self._keep(each)
        if most is not None:
            self._spool = self._follow()
        return more

    def _keep(self, told):
        if isinstance(told, Output):
            self.chunks.append(told.chunk)
        elif isinstance(told, Progress):
            self.bars |= told.bars
        elif isinstance(told, Finished):
            assert self.finished in (None, told)
            self.finished = told
        else:
            self.events.append(told)

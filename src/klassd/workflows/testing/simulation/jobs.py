"""What a simulated job does: drawn from the seed, the task and the attempt, so it is the same whatever happens around it."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import msgspec

from klassd.workflows.frames import Frame, dumps
from klassd.workflows.order import Order
from klassd.workflows.testing.clock import START

ENDLESS = "endless"  # the tag of a run that somebody will cancel: its jobs may run for ever

ENDS = ("success", "exception", "permanent", "exit", "no_result", "signal", "unstored", "endless")
ON_STOP = ("obeys", "obeys", "ignores", "succeeds", "fails")


class Script(NamedTuple):
    pending: float  # seconds until its pod starts
    steps: tuple[tuple[float, str], ...]  # seconds to wait, then what it says
    end: str
    on_stop: str
    yields: float  # seconds until it obeys
    output: Any
    refused: bool  # by the cluster, for good


def script(seed: object, order: Order, refused: float) -> Script:
    rng = Random(f"{seed}/{order.tags[0] if order.tags else order.run_id}/{order.node}/{order.index}/{order.attempt}")
    random = rng.random
    pace = rng.choice((0.01, 0.1, 0.1, 1.0, 4.0))
    steps = tuple((random() * pace, rng.choice(_STEPS)) for _ in range(rng.choice((0, 2, 4, 8, 16))))
    told = Script(
        pending=rng.choice((0.02, 0.1, 0.5, 2.0, 45.0 if random() < 0.2 else 1.0)) * random(),
        steps=steps,
        end=_end(rng, order),
        on_stop=rng.choice(ON_STOP),
        yields=random() * 2.0 * order.grace if random() < 0.2 else random() * 0.5 * order.grace,
        output={"n": rng.randint(0, 2), "items": list(range(rng.randint(0, 4)))},
        refused=random() < refused,
    )
    return told if order.service is None else _as_service(rng, told)


def _as_service(rng: Random, told: Script) -> Script:
    """Most become ready and stay up; some end before that, or never are ready, or end while they are used."""
    steps = tuple(step for step in told.steps if step[1] != "ready")
    fate = rng.random()
    if fate < 0.15:
        return told._replace(steps=steps, end=told.end if fate < 0.1 else "endless")
    ready = ((rng.random() * 2.0, "ready"), (rng.random() * rng.choice((1.0, 30.0)), "line"))
    return told._replace(steps=(*steps, *ready), end=told.end if fate < 0.25 else "endless")


_STEPS = ("line", "line", "line", "lines", "half", "progress", "ready")


def _end(rng: Random, order: Order) -> str:
    drawn = rng.random()
    if drawn < 0.75:
        return "success"
    if drawn < 0.95:
        return rng.choice(ENDS[1:7])
    return "endless" if order.timeout is not None or ENDLESS in order.tags else "success"


class Console:
    """Frames as a supervisor makes them, and beside them the lines they stand for: the measure of what is stored."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.lines: list[str] = []
        self._half = ""

    def say(self, kind: str, body: bytes, now: float) -> None:
        self.frames.append(Frame(len(self.frames), kind, int((START + now) * 1e6), body))

    def step(self, what: str, now: float) -> None:
        match what:
            case "line":
                self._line(now)
            case "lines":
                self._lines(now)
            case "half":
                self._halves(now)
            case "progress":
                self.say("prog", b'{"b":{"":{"at":%d,"of":100,"text":""}}}' % (len(self.frames) % 100), now)
            case _:
                self.say("ready", b"{}", now)

    def _line(self, now: float) -> None:
        number = self._produce(1)
        self.say("log", b'{"l":%d,"n":1,"v":20,"x":"line %d"}' % (number, number), now)

    def _lines(self, now: float) -> None:
        number = self._produce(3)
        text = "".join(f"line {each}\\n" for each in range(number, number + 3))
        self.say("out", b'{"l":%d,"n":3,"s":1,"x":"%b"}' % (number, text.encode()), now)

    def _halves(self, now: float) -> None:
        number = self._produce(1)
        self.say("out", b'{"l":%d,"n":0,"s":1,"x":"line","m":true}' % number, now)
        self.say("out", b'{"l":%d,"n":1,"s":1,"x":" %d\\n"}' % (number, number), now)

    def _produce(self, count: int) -> int:
        first = len(self.lines) + 1
        self.lines += [f"line {number}" for number in range(first, first + count)]
        return first

    def values(self, outputs: dict[str, Any], now: float) -> dict[str, bytes]:
        encoded = {name: msgspec.json.encode(value) for name, value in outputs.items()}
        for name, value in encoded.items():
            self.say("val", dumps({"k": name, "p": value.decode(), "m": False}), now)
        return encoded

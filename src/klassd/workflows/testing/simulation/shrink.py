"""A violation in as few events as it takes, told as a story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from klassd.workflows.testing.simulation.faults import KINDS
from klassd.workflows.testing.simulation.simulate import STEPS, Simulated, simulate

MOST = 40  # events of a story
WHAT = 26  # where an entry of the trace says what happened
IDLE = ("get_run", "cancel_requests", "next_due", "hears a hint", "log_cursor", "renew")
TRIES = 150  # simulations that shrinking may take


@dataclass(frozen=True)
class Course:
    """What ``simulate`` is called with."""

    seed: object
    steps: int = STEPS
    schedulers: int | None = None
    without: tuple[str, ...] = ()
    skip: tuple[int, ...] = ()
    items: tuple[int, ...] | None = None

    def run(self) -> Simulated:
        return simulate(
            self.seed, steps=self.steps, schedulers=self.schedulers, without=self.without, skip=self.skip, items=self.items
        )


@dataclass(frozen=True)
class Shrunk:
    course: Course
    simulated: Simulated

    def __str__(self) -> str:
        return "\n".join(story(self.simulated))


def shrink(seed: object, *, steps: int = STEPS, tries: int = TRIES) -> Shrunk | None:
    """Drop work, kinds of faults and single faults for as long as the same promise is broken. None: nothing is wrong.

    ``tries``: simulations it may take.
    """
    course = Course(seed, steps)
    came = course.run()
    return _Shrinking(course, came, tries).smallest() if came.violations else None


class _Shrinking:
    def __init__(self, course: Course, came: Simulated, tries: int) -> None:
        self._course, self._came = course, came
        self._rule = came.violations[0].rule
        self._tries = tries

    def smallest(self) -> Shrunk:
        for schedulers in (1, 2):
            if self._try(replace(self._course, schedulers=schedulers)):
                break
        self._less_work()
        for kind in KINDS:
            if self._came.faults[kind]:
                self._try(replace(self._course, without=(*self._course.without, kind)))
        self._single_faults()
        return Shrunk(self._course, self._came)

    def _less_work(self) -> None:
        """Halves, quarters, single items: whatever is not needed."""
        self._drop(tuple(range(self._came.items)), lambda items: replace(self._course, items=items))

    def _single_faults(self) -> None:
        struck = tuple(range(self._came.faults.total()))
        self._drop(struck, lambda kept: replace(self._course, skip=tuple(n for n in struck if n not in kept)))

    def _drop(self, parts: tuple[int, ...], course: Callable[[tuple[int, ...]], Course]) -> None:
        size = max(1, len(parts) // 2)
        while parts:
            place = 0
            while place < len(parts):
                fewer = parts[:place] + parts[place + size :]
                if self._try(course(fewer)):
                    parts = fewer
                else:
                    place += size
            if size == 1:
                return
            size //= 2

    def _try(self, course: Course) -> bool:
        if self._tries == 0:
            return False
        self._tries -= 1
        came = course.run()
        if not came.violations or came.violations[0].rule != self._rule:
            return False
        self._course, self._came = course, came
        return True


def story(came: Simulated, most: int = MOST) -> Sequence[str]:
    """What concerns the run whose promise was broken, and what befell whom, with names that can be read."""
    violation = came.violations[0]
    shown = [entry for entry in came.trace if _concerns(entry, violation.subject)][-most:]
    named = [entry.replace(violation.subject, "RUN") if violation.subject else entry for entry in shown]
    return [entry if len(entry) <= 200 else f"{entry[:197]}..." for entry in named]


def _concerns(entry: str, run: str) -> bool:
    """Its events, but for looks that changed nothing; and whatever befell schedulers, nodes and the cluster."""
    what = entry[WHAT:]
    if what.startswith(("[", "starts", "goes on", "has ended", "no more faults", "node ")):
        return True
    return (run in entry if run else True) and not what.startswith(IDLE) and " says " not in what

"""A violation in as few events as it takes, told as a story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from klassd.workflows.testing.simulation.faults import KINDS
from klassd.workflows.testing.simulation.simulate import STEPS, Simulated, simulate

MOST = 40  # events of a story
TRIES = 400  # simulations that shrinking may take


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


def shrink(seed: object, *, steps: int = STEPS) -> Shrunk | None:
    """Drop work, kinds of faults and single faults for as long as the same promise is broken. None: nothing is wrong."""
    course = Course(seed, steps)
    came = course.run()
    return _Shrinking(course, came).smallest() if came.violations else None


class _Shrinking:
    def __init__(self, course: Course, came: Simulated) -> None:
        self._course, self._came = course, came
        self._rule = came.violations[0].rule
        self._tries = 0

    def smallest(self) -> Shrunk:
        self._try(replace(self._course, schedulers=1)) or self._try(replace(self._course, schedulers=2))
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
        if self._tries >= TRIES:
            return False
        self._tries += 1
        came = course.run()
        if not came.violations or came.violations[0].rule != self._rule:
            return False
        self._course, self._came = course, came
        return True


def story(came: Simulated, most: int = MOST) -> Sequence[str]:
    """What concerns the run whose promise was broken, and what befell whom, with names that can be read."""
    violation = came.violations[0]
    told = [
        entry for entry in came.trace if violation.subject in entry or "[" in entry or entry[14:].split()[1:2] == ["starts"]
    ]
    shown = [entry for entry in told if not _idle(entry)][-most:]
    named = [entry.replace(violation.subject, "RUN") if violation.subject else entry for entry in shown]
    return [entry if len(entry) <= 200 else f"{entry[:197]}..." for entry in named]


def _idle(entry: str) -> bool:
    """Looks that found nothing."""
    return any(f"  {verb}" in entry or f" {verb} " in entry for verb in ("get_run", "cancel_requests", "next_due", "hint"))

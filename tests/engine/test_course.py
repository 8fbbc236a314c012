"""Where an execution is and how far it came is kept, and costs no write of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from test_keeper_take_over import scheduler

from klassd.workflows import Job, JobContext
from klassd.workflows.client import Client
from klassd.workflows.engine.course import Course
from klassd.workflows.model.execution import Located, Reached, Started, Told, Waiting
from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import Change, Execution
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemIds, TaskSpawner
from klassd.workflows.testing import InlineExecutor, VirtualClock, run_virtual


class Speaks(Job):
    async def run(self, ctx: JobContext) -> int:
        print("first")
        await asyncio.sleep(5)
        return 1


class Pods(InlineExecutor):
    """Tells of a pod's way what a cluster would."""

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        yield [Located(at={"pod": "p"})]
        yield [Waiting(why="no node")]
        yield [Located(at={"pod": "p", "node": "n"}), Reached(phases=Phases(scheduled=1.0))]
        yield [Reached(phases=Phases(container=2.0))]
        async for batch in super().follow(execution_id, cursor, seq, line):
            yield batch


class Counting(MemoryStore):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.patches = 0

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        self.patches += sum(len(change.updated) for change in changes)
        return await super().commit(changes)


def ran(kind: type[InlineExecutor]) -> tuple[Execution, int]:
    async def scenario() -> tuple[Execution, int]:
        clock = VirtualClock()
        store = Counting(clock)
        async with Client(store, clock, SystemIds(), TaskSpawner()) as client:
            run_id = await client.enqueue(Speaks())
            async with scheduler(store, kind(clock), clock, TaskSpawner()):
                await client.wait(run_id)
            (execution,) = (await client.view(run_id)).nodes[0].executions
        return execution, store.patches

    return run_virtual(scenario())


def test_it_is_stored_with_what_is_stored_anyway() -> None:
    execution, patches = ran(Pods)
    assert execution.located == {"pod": "p", "node": "n"}
    phases = execution.phases
    assert (phases.scheduled, phases.container) == (1.0, 2.0)
    assert phases.first_line and phases.returned and phases.first_line + 5 <= phases.returned <= (execution.finished_at or 0.0)
    assert patches <= ran(InlineExecutor)[1]


def test_a_process_is_known_by_its_pid_unless_its_executor_says_more() -> None:
    course = Course()
    course.hear([Started(at=1.0, pid=7)])
    assert course.news() == {"located": {"pid": 7}}
    course = Course({"pod": "p"})
    course.hear([Started(at=1.0, pid=7)])
    assert course.news() == {}


def test_what_was_stored_already_is_not_stored_again() -> None:
    course = Course({"pod": "p"}, Phases(scheduled=1.0))
    course.hear([Located(at={"pod": "p"}), Reached(phases=Phases(scheduled=1.0))])
    assert course.news() == {}
    course.hear([Reached(phases=Phases(pulled=2.0))])
    assert course.news() == {"phases": Phases(scheduled=1.0, pulled=2.0)}
    assert course.news() == {}

"""What cluster or machine show of executions at this moment: asked for only where it helps, and never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from klassd.workflows.cli.opening import app_executor
from klassd.workflows.cli.problems import Problem
from klassd.workflows.cli.style import DIM, YELLOW, Paint, clock_time
from klassd.workflows.cli.text import hanging
from klassd.workflows.cli.timeline import NAMES
from klassd.workflows.errors import KlassdError
from klassd.workflows.model.description import Description, Happening
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.ports import Describes

PATIENCE, ASKED = 2.0, 10.0  # seconds for all answers together: where nobody asked for them, and where somebody did
MOST = 5  # executions of one page
EVENTS = 12  # of one execution: the latest
OUR_OWN = (Cause.EXCEPTION, Cause.INPUT, Cause.OUTPUT, Cause.STOPPED)  # ends that no cluster explains


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """``problem``: why there is no description."""

    commands: tuple[str, ...] = ()
    description: Description | None = None
    problem: str = ""


def puzzling(execution: Execution) -> bool:
    """Whether what is stored leaves a question that the outside may answer: it does not start, or was ended by others."""
    if execution.status is ExecutionStatus.STARTING:
        return True
    return execution.status is ExecutionStatus.FAILED and execution.cause not in OUR_OWN


async def look(executions: Sequence[Execution], asked: bool) -> dict[str, Outside]:
    """By execution id; of those that were launched. ``asked``: somebody wants it, whatever it is."""
    launched = [each for each in executions if each.launched_at is not None]
    if not asked:
        launched = [each for each in launched if "pod" in each.located or puzzling(each)]
    launched = launched[:MOST]
    if not launched:
        return {}
    try:
        executor = app_executor()
        place = executor.place
    except (KlassdError, Problem, ImportError, OSError) as error:
        return {each.id: Outside(problem=_here(each, str(error))) for each in launched}
    seen = await asyncio.gather(*(_one(executor, place, each, asked) for each in launched))
    return {each.id: outside for each, outside in zip(launched, seen, strict=True)}


async def _one(executor: object, place: str, execution: Execution, asked: bool) -> Outside:
    if execution.place != place:
        return Outside(problem=_here(execution, f"this shell is set up for {place}"))
    if not isinstance(executor, Describes):
        return Outside(problem="its executor tells no more")
    commands = tuple(executor.commands(execution))
    if not asked and not puzzling(execution):
        return Outside(commands=commands)
    try:
        async with asyncio.timeout(ASKED if asked else PATIENCE):
            return Outside(commands=commands, description=await executor.describe(execution))
    except TimeoutError:
        return Outside(commands=commands, problem=f"no answer within {ASKED if asked else PATIENCE:g} s")
    except (KlassdError, OSError) as error:
        return Outside(commands=commands, problem=str(error))


def _here(execution: Execution, why: str) -> str:
    return f"it runs at {execution.place}; {why}"


def lines(execution: Execution, outside: Outside, paint: Paint, width: int, asked: bool) -> Iterator[str]:
    """What it says of one execution, events as a table: all of them where they were ``asked`` for, else what went wrong, each
    once."""
    if outside.problem:
        yield from (paint(line, DIM) for line in hanging(f"{'events':<{NAMES}}", f"not to be had: {outside.problem}", width))
    described = outside.description
    if described is None:
        return
    if described.state and (asked or not execution.status.final):
        yield f"{'now':<{NAMES}}{described.state}"
    warnings = {each.message: each for each in described.events if each.warning}
    for number, event in enumerate(list(described.events if asked else warnings.values())[-EVENTS:]):
        yield from _event("events" if number == 0 else "", event, paint, width, 10 if asked else 5)


def _event(label: str, event: Happening, paint: Paint, width: int, rows: int) -> Iterator[str]:
    time = clock_time(event.at)[:8] if event.at else ""
    often = f" ({event.count} times)" if event.count > 1 else ""
    first, *others = hanging(f"{label:<{NAMES}}{time:<10}", f"{event.reason}: {event.message}{often}", width, rows)
    head = NAMES + 10
    for line in (first, *others):
        yield f"{paint(line[:head], DIM)}{paint(line[head:], YELLOW) if event.warning else line[head:]}"

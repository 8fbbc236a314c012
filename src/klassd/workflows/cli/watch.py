"""Watches one run in the foreground, until it ends or the person at the keyboard has seen enough."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TextIO

from klassd.workflows.cli.consoles import Console
from klassd.workflows.cli.document import emit, run_document
from klassd.workflows.cli.follow import Follower
from klassd.workflows.cli.interrupts import Interrupts
from klassd.workflows.cli.problems import FAILED, INTERRUPTED, OK
from klassd.workflows.cli.style import DIM, is_terminal
from klassd.workflows.client import Client, RunView
from klassd.workflows.model.states import RunStatus
from klassd.workflows.model.workflow import Definition
from klassd.workflows.system import SystemClock


async def watch(client: Client, run_id: str, as_json: bool, interrupts: Interrupts, cancels: bool = True) -> int:
    """Show a run until it ends and return the exit code. The first Ctrl+C cancels it, unless ``cancels`` is off, the
    next one stops waiting."""
    stream = sys.stderr if as_json else sys.stdout
    definition = (await client.view(run_id)).definition
    async with _console(definition, stream) as console:
        view = await _until_end(client, run_id, console, interrupts, cancels)
    if view is None:
        print(_gave_up(run_id, cancels), file=sys.stderr)
        return INTERRUPTED
    console.end(view)
    if as_json:
        emit(run_document(view))
    if view.run.status is RunStatus.SUCCEEDED:
        return OK
    return INTERRUPTED if interrupts.count and cancels else FAILED


async def _until_end(client: Client, run_id: str, console: Console, interrupts: Interrupts, cancels: bool) -> RunView | None:
    """The run when it has ended; None when nobody wants to wait for that."""
    following = asyncio.create_task(Follower(client, run_id, console).until_end())
    for patience in (0, 1) if cancels else (0,):
        pressed = asyncio.create_task(interrupts.beyond(patience))
        await asyncio.wait({following, pressed}, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(pressed)
        if following.done():
            return await following
        if patience == 0 and cancels:
            console.say(console.paint("stopping the run; Ctrl+C again does not wait for it", DIM))
            await client.cancel(run_id)
    await _cancelled(following)
    return None


async def _cancelled(task: asyncio.Task[None] | asyncio.Task[RunView]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _gave_up(run_id: str, cancels: bool) -> str:
    if not cancels:
        return f"\nit goes on without you: klassd logs -f {run_id}"
    return (
        "not waiting any longer; what still runs is being stopped, and the next scheduler (klassd dev) records how it ended\n"
        f"  klassd show {run_id}"
    )


@asynccontextmanager
async def _console(definition: Definition, stream: TextIO) -> AsyncIterator[Console]:
    if not is_terminal(stream):
        yield Console(definition, stream)
        return
    from klassd.workflows.cli.live import FRAME, LiveConsole, Region  # rich: 60 ms that a pipe need not wait for

    with Region(stream) as region:
        console = LiveConsole(definition, stream, region, SystemClock())
        drawing = asyncio.create_task(_draw(console.draw, FRAME))
        try:
            yield console
        finally:
            await _cancelled(drawing)


async def _draw(draw: Callable[[], None], every: float) -> None:
    while True:
        draw()
        await asyncio.sleep(every)

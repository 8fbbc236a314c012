"""``klassd dev``: the scheduler in the foreground, with a live view; begins anew when the code changes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import Namespace
from typing import NoReturn

from klassd.workflows.app import App
from klassd.workflows.cli.interrupts import Interrupts
from klassd.workflows.cli.opening import app_store, open_app
from klassd.workflows.cli.overview import Overview, View, view_for
from klassd.workflows.cli.problems import OK, Problem, listed
from klassd.workflows.cli.reload import Watched, broken, files_here, loaded_files
from klassd.workflows.cli.request import app_catalog
from klassd.workflows.cli.style import BOLD, DIM, RED, Paint, paint_for
from klassd.workflows.cli.text import without_password
from klassd.workflows.system import SystemClock

LOOK = 0.5  # seconds between looks at the files
_RELOADED = "KLASSD_DEV_RELOADED"  # tells the restarted process what has changed; never set by people


def command(args: Namespace) -> int:
    paint = paint_for(sys.stderr if args.json else sys.stdout)
    watched = Watched(() if args.no_reload else files_here())
    try:
        app = open_app(args.app)
        catalog = app_catalog(app)
    except Problem as problem:
        if args.no_reload or not os.environ.get(_RELOADED):
            raise
        _wait_for_repair(problem, watched, paint)
    watched = Watched(() if args.no_reload else loaded_files(), watched)
    changed = asyncio.run(_dev(app, args, watched, _banner(app, catalog.names(), args, paint)))
    if changed:
        _begin_anew(changed)
    return OK


def _banner(app: App, names: list[str], args: Namespace, paint: Paint) -> list[str]:
    again = os.environ.pop(_RELOADED, "")
    if again:
        return [paint(f"reloaded: {again}", DIM)]
    facts = {
        "app": args.app or app.ref,
        "runs": listed(names) or "nothing yet: App(jobs=[...])",
        "store": _near(without_password(args.store or app.settings.store_url)),
        "ends": "with Ctrl+C; jobs under way go on, and the next scheduler takes them over",
    }
    return [paint("klassd dev", BOLD), *(paint(f"  {name:<6} {fact}", DIM) for name, fact in facts.items())]


def _near(url: str) -> str:
    """A store's file as seen from here."""
    return url.replace(f"sqlite:///{os.getcwd()}{os.sep}", "", 1)


async def _dev(app: App, args: Namespace, watched: Watched, banner: list[str]) -> list[str]:
    """The files that have changed; empty when Ctrl+C ended it."""
    async with app_store(app, args) as store, app.client(store) as client, app.scheduler(store):
        with Interrupts() as interrupts, view_for(args.json) as view:
            view.say(banner)
            overview = Overview(client, view, SystemClock())
            tasks = {
                asyncio.create_task(interrupts.beyond(0)),
                asyncio.create_task(overview.keep_up()),
                asyncio.create_task(_changed_files(view, watched)),
            }
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.wait(tasks)
            results = [task.result() for task in done]
    return next((result for result in results if isinstance(result, list)), [])


async def _changed_files(view: View, watched: Watched) -> list[str]:
    complained: str | None = None
    while True:
        await asyncio.sleep(LOOK)
        changed = watched.changed()
        problem = broken(changed)
        if changed and problem is None:
            return changed
        if problem and problem != complained:
            view.say([f"not reloaded yet: {problem}"])
        complained = problem


def _wait_for_repair(problem: Problem, watched: Watched, paint: Paint) -> NoReturn:
    """A reload met code that cannot be imported: say so, and try again at the next change."""
    print(
        f"{paint('klassd:', BOLD, RED)} {problem.message}", *(f"  {hint}" for hint in problem.hints), sep="\n", file=sys.stderr
    )
    print(paint("waiting for a change; Ctrl+C ends it", DIM), file=sys.stderr, flush=True)
    while not (changed := watched.changed()):
        time.sleep(LOOK)
    _begin_anew(changed)


def _begin_anew(changed: list[str]) -> NoReturn:
    """The same command in a new program image: no module of the old code is left."""
    names = [os.path.relpath(file) for file in changed]
    environment = {**os.environ, _RELOADED: ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")}
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = [sys.executable, "-m", "klassd.workflows.cli", *sys.argv[1:]]
    os.execve(sys.executable, arguments, environment)  # noqa: S606

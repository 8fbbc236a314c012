"""``klassd image check``: everything that would keep a pod of this image from running a job, told at once."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from klassd.workflows.app import App
from klassd.workflows.cli.document import emit
from klassd.workflows.cli.image_jobs import SLOW, CheckedJobs, check_jobs
from klassd.workflows.cli.image_place import Place, check_place
from klassd.workflows.cli.opening import open_app
from klassd.workflows.cli.problems import FAILED, OK, Problem
from klassd.workflows.cli.style import BOLD, DIM, GREEN, RED, YELLOW, Paint, duration, paint_for, table
from klassd.workflows.settings import load


def command(args: Namespace) -> int:
    app, unusable = _app(args.app)
    jobs = check_jobs(app) if app else CheckedJobs([], [], {}, unusable)
    place = check_place(args.artifacts or (app.settings if app else load()).artifacts_url)
    problems, remarks = [*place.problems, *jobs.problems], [*place.remarks, *_of_imports(jobs)]
    if args.json:
        emit(_document(app, jobs, place, problems, remarks))
    else:
        print("\n".join(_page(app, jobs, place, problems, remarks, paint_for())))
    return FAILED if problems else OK


def _app(spec: str | None) -> tuple[App | None, list[str]]:
    """An app that cannot be imported is the first of the problems; the rest of the image is looked at all the same."""
    try:
        return open_app(spec), []
    except Problem as problem:
        if not problem.message.startswith("no app was named"):
            return None, [" ".join([problem.message, *problem.hints])]
        raise


def _of_imports(jobs: CheckedJobs) -> Iterator[str]:
    plain = max((each.plain for each in jobs.modules.values()), default=0)
    if plain:
        most = max(each.sources for each in jobs.modules.values() if each.plain == plain)
        yield f"{plain} of {most} modules have no bytecode, so each pod compiles them anew: python3 -m compileall in the image"
    slow = [name for name, each in jobs.modules.items() if each.seconds > SLOW]
    if slow:
        yield f"slow to import, and every pod pays for it: {', '.join(slow)}"


def _document(app: App | None, jobs: CheckedJobs, place: Place, problems: list[str], remarks: list[str]) -> dict[str, Any]:
    return {
        "app": app.ref if app else None,
        "jobs": jobs.jobs,
        "workflows": jobs.workflows,
        "image": {name: getattr(place, name) for name in place.__struct_fields__ if name not in ("problems", "remarks")},
        "problems": problems,
        "remarks": remarks,
    }


def _page(
    app: App | None, jobs: CheckedJobs, place: Place, problems: list[str], remarks: list[str], paint: Paint
) -> Iterator[str]:
    yield paint("klassd image check", BOLD)
    for name, fact in _facts(app, jobs, place).items():
        yield f"  {paint(f'{name:<9}', DIM)} {fact}"
    if jobs.jobs:
        rows = [(each.key, each.source, "✗" if each.problem else duration(each.seconds)) for each in jobs.jobs]
        yield ""
        yield from table(("JOB", "SOURCE", "IMPORT"), rows, paint, ((BOLD,), (DIM,), ()), most=64)
    yield ""
    yield from (f"{paint('!', YELLOW)} {remark}" for remark in remarks)
    yield from (f"{paint('✗', RED)} {problem}" for problem in problems)
    yield _verdict(jobs, problems, paint)


def _facts(app: App | None, jobs: CheckedJobs, place: Place) -> dict[str, str]:
    lacks = ",".join(place.lacks_for_scheduler)
    return {
        "app": (app.ref if app else "") or "cannot be used",
        "klassd": f"{place.klassd}, protocol {place.protocol}",
        "python": place.python or "none",
        "worker": "does not start" if place.worker_seconds is None else f"runs a job in {duration(place.worker_seconds)}",
        "user": place.user,
        "may write": ", ".join(place.writable) or "nothing",
        "artifacts": place.artifacts,
        "scheduler": f"not in this image: it lacks klassd-workflows[{lacks}]" if lacks else "klassd serve can run here",
        "workflows": ", ".join(jobs.workflows) or "none",
    }


def _verdict(jobs: CheckedJobs, problems: list[str], paint: Paint) -> str:
    if problems:
        return paint(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", BOLD, RED)
    count = len(jobs.jobs)
    return paint(f"✓ a pod can run {'each of ' if count > 1 else ''}{count} job{'s' if count != 1 else ''}", BOLD, GREEN)

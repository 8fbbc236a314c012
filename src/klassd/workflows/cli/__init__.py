"""The command ``klassd``.

Exit codes: 0 ok, 1 the run failed, 2 usage or configuration, 130 interrupted. Standard output is for results, standard
error for complaints; with ``--json`` standard output holds JSON and nothing else.

One module for each group of commands; it is imported when its command is called, and with it what it needs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from klassd.workflows import __version__
from klassd.workflows.cli.problems import FAILED, INTERRUPTED, OK, PIPE_CLOSED, USAGE, Problem, did_you_mean

_GROUPS = (
    ("work", ("dev", "run", "enqueue")),
    ("look", ("runs", "show", "logs", "artifacts")),
    ("act", ("stop", "rerun")),
    ("deploy", ("image", "manifest", "leftovers")),
    ("operate", ("serve", "prune", "migrate", "worker")),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _never_fail_to_print()
    try:
        return _dispatch(words)
    except Problem as problem:
        return _tell(problem, as_json="--json" in words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit must not complain either
        return PIPE_CLOSED


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help") or words == ["help"]:
        print(_overview())
        return OK if words else USAGE
    if words[0] in ("-V", "--version"):
        print(f"klassd {__version__}")
        return OK
    if words[0] == "help":
        words = [words[1], "--help"]
    return _command(words[0], words[1:])


def _command(name: str, words: list[str]) -> int:
    from klassd.workflows.cli.arguments import COMMANDS, parser_for

    if name not in COMMANDS:
        what = f"unknown option {name}" if name.startswith("-") else f"there is no command {name!r}"
        raise Problem(what, did_you_mean(name, COMMANDS), f"commands: {', '.join(COMMANDS)}")
    if name == "worker" and words[:1] not in (["--help"], ["-h"]):
        return _call(name, Namespace(arguments=words))
    parser = parser_for(name)
    try:
        args = parser.parse_intermixed_args(words)
    except SystemExit:  # --help has been printed
        return OK
    return _call(name, args)


def _call(name: str, args: Namespace) -> int:
    from klassd.workflows.errors import KlassdError, UnknownName

    command: Callable[[Namespace], int] = importlib.import_module(f"klassd.workflows.cli.{name}").command
    try:
        return command(args)
    except UnknownName as error:
        raise Problem(str(error), "klassd runs lists them, the newest first" if error.kind == "run" else "") from error
    except KlassdError as error:  # its message says what was found, what was expected and what to do
        raise Problem(str(error)) from error


def _overview() -> str:
    from klassd.workflows.cli.arguments import COMMANDS

    lines = [
        "klassd: background jobs and workflows in plain Python",
        "",
        "usage: klassd COMMAND [...]    klassd COMMAND --help tells more",
        "",
    ]
    for title, names in _GROUPS:
        lines += [
            f"{title:<9}{name:<11}{COMMANDS[name][0]}" if name == names[0] else f"{'':<9}{name:<11}{COMMANDS[name][0]}"
            for name in names
        ]
        lines.append("")
    return "\n".join([*lines, "start    klassd run hello:app Hello name=team"])


def _tell(problem: Problem, as_json: bool) -> int:
    from klassd.workflows.cli.style import BOLD, DIM, RED, paint_for

    if as_json:
        print(json.dumps({"error": problem.message, "hints": problem.hints}))
    paint = paint_for(sys.stderr)
    print(f"{paint('klassd:', BOLD, RED)} {problem.message}", file=sys.stderr)
    for hint in problem.hints:
        print(paint(f"  {hint}", DIM), file=sys.stderr)
    return problem.code


def _never_fail_to_print() -> None:
    """A job's name or text that the terminal's encoding lacks is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "main"]

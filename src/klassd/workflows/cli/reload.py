"""Notices that the user's code has changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from klassd.workflows.cli.target import is_user_file
from klassd.workflows.settings import FILE

Stamp = tuple[int, int]
MOST = 2000  # files looked at when a broken module cannot say what it is made of
DEPTH = 3


class Watched:
    """Files and what they looked like; ``changed`` compares."""

    def __init__(self, files: Iterable[str], before: Watched | None = None) -> None:
        """``before``: looked at before the code was imported, so that a change during the import is not missed."""
        known: dict[str, Stamp | None] = before._stamps if before else {}
        self._stamps: dict[str, Stamp | None] = {file: known[file] if file in known else _stamp(file) for file in files}

    def changed(self) -> list[str]:
        return [file for file, stamp in self._stamps.items() if _stamp(file) != stamp]


def loaded_files() -> list[str]:
    """The user's modules that are imported now, and the settings file."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return [os.path.abspath(FILE), *sorted(file for file in files if file and is_user_file(file))]


def files_here() -> list[str]:
    """Python files under the working directory: one of them will mend a module that cannot be imported."""
    found = [os.path.abspath(FILE)]
    for file in _walk(os.getcwd(), DEPTH):
        if len(found) >= MOST:
            break
        found.append(file)
    return found


def broken(files: Iterable[str]) -> str | None:
    """Why the changed code cannot run at all, in a line: half a line is saved now and then."""
    for file in files:
        try:
            with open(file, "rb") as source:
                compile(source.read(), file, "exec", dont_inherit=True) if file.endswith(".py") else None
        except SyntaxError as error:
            return f"{os.path.relpath(file)}:{error.lineno}: {error.msg}"
        except (OSError, ValueError) as error:
            return f"{os.path.relpath(file)}: {error}"
    return None


def _walk(directory: str, depth: int) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith((".", "_")) or entry.name in ("node_modules", "venv", "site-packages"):
            continue
        if entry.is_dir(follow_symlinks=False) and depth > 0:
            yield from _walk(entry.path, depth - 1)
        elif entry.name.endswith(".py"):
            yield entry.path


def _stamp(file: str) -> Stamp | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size

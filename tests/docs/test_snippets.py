"""Everything that README and docs show is run, page by page, in a directory of its own.

A ``python`` block whose first line is a comment with a file name is written to that file; another one is run as a script.
The commands of a ``console`` block (lines that begin with ``$``) are run; where lines follow a command, each of them must be
in its output, ``...`` standing for anything. Blocks of other kinds (``text``, ``sh``, ``toml``) are left alone, except that
``toml`` with a file name on its first line is written to that file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECONDS = 60
_BLOCK = re.compile(r"^```(python|console|toml)\n(.*?)^```$", re.S | re.M)
_FILE = re.compile(r"# ([\w./]+\.(?:py|toml))\b")


@dataclass
class Block:
    kind: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks_of(text: str) -> list[Block]:
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in _BLOCK.finditer(text)]


def play(page: str, blocks: list[Block], place: Path) -> None:
    """Do what a reader would do, in order."""
    for block in blocks:
        where = f"{page}:{block.line}"
        if block.file:
            path = place / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            if block.kind == "python":
                _run(where, [sys.executable, block.file], place)
        elif block.kind == "python":
            script = place / f"snippet_{block.line}.py"
            script.write_text(block.text)
            _run(where, [sys.executable, script.name], place)
        elif block.kind == "console":
            _play_console(where, block.text, place)


def _play_console(where: str, text: str, place: Path) -> None:
    for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *expected = step.rstrip("\n").split("\n")
        output = _run(where, ["bash", "-c", command], place)
        for line in expected:
            pattern = ".*".join(re.escape(part.strip()) for part in line.split("..."))
            assert re.search(pattern, output), f"{where}: {command!r} should print {line!r}; it printed:\n{output}"


def _run(where: str, command: list[str], place: Path) -> str:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KLASSD_")}
    environment = {**inherited, "PATH": path, "PYTHONPATH": str(place), "COLUMNS": "140", "NO_COLOR": "1"}
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{where}: {command} ended with {done.returncode}:\n{output}"
    return output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_snippet_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    play(page.name, blocks_of(page.read_text()), tmp_path)


def test_a_snippet_that_fails_is_told_with_its_page_and_line(tmp_path: Path) -> None:
    text = "Text.\n\n```python\nraise SystemExit('no such thing')\n```\n"
    with pytest.raises(AssertionError, match=r"(?s)page\.md:3: .*no such thing"):
        play("page.md", blocks_of(text), tmp_path)


def test_output_that_a_page_shows_but_a_command_does_not_print_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"should print 'good \.\.\. world'"):
        play("page.md", blocks_of("```console\n$ echo hello world\ngood ... world\n```\n"), tmp_path)
    play("page.md", blocks_of("```console\n$ echo hello dear world\nhello ... world\n```\n"), tmp_path)

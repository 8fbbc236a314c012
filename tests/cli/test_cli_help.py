"""Help answers at once, and unknown words get a suggestion."""

from __future__ import annotations

import subprocess
import sys

import pytest

from klassd.workflows.cli import main
from klassd.workflows.cli.arguments import COMMANDS

HEAVY = ("asyncio", "rich", "msgspec", "klassd.workflows.client", "klassd.workflows.engine", "sqlite3")


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_neither_engine_nor_terminal(words: list[str]) -> None:
    call = f"code = main({words!r}); print(*sorted(sys.modules)); sys.exit(code)"
    code = f"import sys; from klassd.workflows.cli import main; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint(HEAVY)
    assert "klassd" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page_and_stands_in_the_overview(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"usage: klassd {name}")
    assert main([]) == 2
    assert f" {name} " in capsys.readouterr().out
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "klassd: there is no command 'rnu'\n  did you mean run"),
        (["shwo"], "klassd: there is no command 'shwo'\n  did you mean show?"),
        (["--verbose"], "klassd: unknown option --verbose\n  commands: dev, run,"),
        (["runs", "--limit", "0"], "klassd: argument --limit: '0' is not a number from 1 up\n  usage: klassd runs"),
        (["runs", "--status", "lost"], "klassd: argument --status: invalid choice: 'lost'"),
        (["show", "a", "b"], "klassd: unrecognized arguments: b\n  usage: klassd show"),
        (["stop"], "klassd: the following arguments are required: RUN\n  usage: klassd stop"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_what_was_expected(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(said)
    assert captured.out == ""


def test_with_json_a_mistake_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--limit", "x", "--json"]) == 2
    assert capsys.readouterr().out.startswith('{"error": "argument --limit: \'x\' is not a number from 1 up"')

"""Mistakes of the person at the keyboard: told in sentences that name the cure, never with a traceback. Golden texts."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from klassd.workflows.cli import main

APP = """
    from klassd.workflows import App, Job, Workflow

    class Hello(Job):
        name: str
        times: int = 1

        def run(self, ctx):
            return self.name

    class Goodbye(Job):
        def run(self, ctx):
            return None

    wf = Workflow("greet-all")
    who = wf.param("who", list[str])
    wf.map("greet", lambda name: Hello(name=name), over=who)

    app = App(jobs=[Hello, Goodbye, wf])
    number = 5
"""
_names = itertools.count()

Run = Callable[..., str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory and returns its name, new every time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("KLASSD_APP", "KLASSD_STORE", "KLASSD_STATE", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    made: list[str] = []

    def write(source: str) -> str:
        made.append(f"golden{next(_names)}")
        (tmp_path / f"{made[-1]}.py").write_text(textwrap.dedent(source))
        return made[-1]

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that must be refused, and gives what it said."""

    def run(*words: str) -> str:
        assert main(words) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return run


def test_a_typo_in_a_job_suggests_the_near_ones(module: Callable[[str], str], refused: Run) -> None:
    assert refused("run", f"{module(APP)}:app", "Helo") == (
        "klassd: there is no job or workflow named 'Helo'\n"
        "  did you mean Hello?\n"
        "  the app has: greet-all, Goodbye, Hello\n"
    )  # fmt: skip


def test_a_typo_in_an_input_suggests_the_near_ones(module: Callable[[str], str], refused: Run) -> None:
    assert refused("run", f"{module(APP)}:app", "Hello", "nam=x") == (
        "klassd: Hello has no input named 'nam'\n"
        "  did you mean name?\n"
        "  inputs of Hello: name (string), times (integer)\n"
    )  # fmt: skip


def test_wrong_inputs_name_field_and_rule_all_at_once(module: Callable[[str], str], refused: Run) -> None:
    said = refused("enqueue", f"{module(APP)}:app", "Hello", "times=many")
    assert said.startswith("klassd: Hello cannot be given that\n  field 'name': missing (expected str)\n  field 'times': ")
    assert "int" in said
    assert "'many'" in said


def test_a_missing_parameter_of_a_workflow_is_named(module: Callable[[str], str], refused: Run) -> None:
    said = refused("run", f"{module(APP)}:app", "greet-all")
    assert said == "klassd: greet-all cannot be given that\n  field 'who': missing (expected list[str])\n"


def test_a_module_that_is_not_there_is_named_with_those_that_are(module: Callable[[str], str], refused: Run) -> None:
    name = module(APP)
    assert refused("run", f"x{name}:app", "Hello").splitlines()[1:] == [f"  did you mean {name}?"]
    assert refused("run", "nothing_like_it:app", "Hello").splitlines()[1:] == [f"  modules here: {name}"]


def test_an_app_that_is_not_there_is_named_with_those_that_are(module: Callable[[str], str], refused: Run) -> None:
    name = module(APP)
    assert refused("run", f"{name}:ap", "Hello") == f"klassd: there is no 'ap' in {name}\n  did you mean app?\n"
    assert (
        refused("run", f"{name}:number", "Hello") == f"klassd: {name}:number is an int, not an App\n  Apps in it: {name}:app\n"
    )
    assert refused("run", f"{name}:Hello", "Hello").startswith(f"klassd: {name}:Hello is the class Hello, not an App\n")


def test_a_module_without_an_app_says_what_was_expected(module: Callable[[str], str], refused: Run) -> None:
    name = module("x = 1")
    assert (
        refused("run", f"{name}:", "Hello")
        == f"klassd: there is no App in {name}\n  expected a line such as: app = App(jobs=[...])\n"
    )


def test_an_app_without_a_job_named_lists_its_jobs(module: Callable[[str], str], refused: Run) -> None:
    said = refused("run", f"{module(APP)}:app")
    assert said == "klassd: no job or workflow was named\n  the app has: greet-all, Goodbye, Hello\n"


def test_without_any_app_the_ways_to_name_one_are_told(module: Callable[[str], str], refused: Run) -> None:
    assert refused("run", "Hello").startswith("klassd: no app was named\n  name it (MODULE:APP, such as hello:app for")


def test_a_broken_module_shows_the_error_and_the_users_own_line(module: Callable[[str], str], refused: Run) -> None:
    name = module("import json\n\ndef load():\n    return json.loads('{')\n\nload()\n")
    said = refused("run", f"{name}:app", "Hello")
    assert said.startswith(f"klassd: {name} cannot be imported: JSONDecodeError: Expecting property name")
    assert said.splitlines()[1] == f"  {name}.py:4    return json.loads('{{')"
    assert "Traceback" not in said


def test_a_syntax_error_shows_its_line(module: Callable[[str], str], refused: Run) -> None:
    name = module("x = 1\ndef broken(:\n")
    said = refused("run", f"{name}:app", "Hello")
    assert said == f"klassd: {name} cannot be imported: SyntaxError: invalid syntax\n  {name}.py:2    def broken(:\n"


def test_a_module_that_misses_another_names_that_one(module: Callable[[str], str], refused: Run) -> None:
    name = module("import pandas_that_is_not_there\n")
    assert refused("run", f"{name}:app", "Hello") == (
        f"klassd: {name} cannot be imported: ModuleNotFoundError: No module named 'pandas_that_is_not_there'\n"
        f"  {name}.py:1    import pandas_that_is_not_there\n"
    )


def test_a_workflow_that_cannot_run_names_all_its_problems(module: Callable[[str], str], refused: Run) -> None:
    name = module(APP.replace("app = App", 'wf.add("greet", Goodbye())\n    wf.add("a", Hello(name=5))\n    app = App'))
    said = refused("run", f"{name}:app", "greet-all")
    assert said.startswith("klassd: workflow 'greet-all' has ")
    assert "'a'" in said
    assert "'greet'" in said


@pytest.mark.parametrize(
    "command", [["runs"], ["show"], ["logs"], ["stop", "last"], ["rerun", "last"], ["artifacts"]], ids=" ".join
)
def test_looking_into_a_store_that_is_not_there_makes_none(
    command: list[str], module: Callable[[str], str], refused: Run, tmp_path: Path
) -> None:
    assert refused(*command) == (
        "klassd: there is no store yet at .klassd/klassd.db\n"
        "  it is made by the first run: klassd run MODULE:APP NAME\n"
        "  or name another one: --store sqlite:///path/to/jobs.db, or KLASSD_STORE\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_delay_that_is_none_says_how_to_write_one(module: Callable[[str], str], refused: Run) -> None:
    said = refused("enqueue", f"{module(APP)}:app", "Hello", "name=x", "--delay", "soon")
    assert said.startswith("klassd: --delay is 'soon': expected text such as '30s', '5m', '1h30m'")


def test_a_store_that_nobody_knows_names_those_installed(module: Callable[[str], str], refused: Run) -> None:
    assert "there is no store named 'oracle'; installed: " in refused("runs", "--store", "oracle://x")


def test_a_wrong_setting_names_where_it_stands(
    module: Callable[[str], str], refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "klassd.toml").write_text("stoer = 'x'\n")
    assert "sets 'stoer', which is no setting; there are: app, store," in refused("runs")


def test_the_app_may_come_from_the_settings(
    module: Callable[[str], str], refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module(APP)
    (tmp_path / "klassd.toml").write_text(f"app = '{name}:app'\n")
    assert refused("run", "Helo").splitlines()[1] == "  did you mean Hello?"

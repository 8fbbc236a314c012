"""``klassd image check``: whatever would keep a pod from running a job is told, all at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

SHOP = """
from klassd.workflows import App, Job, JobContext, Workflow

class Report(Job):
    def run(self, ctx: JobContext) -> int:
        return 1

class Sum(Job):
    numbers: int

    def run(self, ctx: JobContext) -> None: ...

daily = Workflow("daily")
report = daily.add("report", Report())
daily.add("sum", Sum(numbers=report.output))
app = App(jobs=[Report, daily], artifacts="s3://bucket/prefix")
"""


@pytest.fixture
def image(klassd: Any) -> Any:
    """A directory as the working directory of an image, whose ``python3`` is this one."""
    klassd.env |= {"PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}
    klassd.write("shop.py", SHOP)
    return klassd


def test_an_image_that_can_run_every_job_says_so(image: Any) -> None:
    said = image("image", "check", "shop:app").stdout
    assert "✓ a pod can run each of 2 jobs" in said
    assert "shop:Report" in said and "shop:Sum" in said  # the second one only as a node of a workflow
    assert "runs a job in" in said and "protocol 1" in said and "s3://bucket/prefix" in said


def test_as_json_it_is_a_manifest_of_the_jobs(image: Any) -> None:
    found = image.json("image", "check", "shop:app")
    assert [(job["key"], job["source"], job["module"]) for job in found["jobs"]] == [
        ("shop:Report", "shop:Report", "shop"),
        ("shop:Sum", "shop:Sum", "shop"),
    ]
    assert all(0 < job["seconds"] < 60 for job in found["jobs"])
    assert found["workflows"] == ["daily"] and found["problems"] == []
    assert found["image"]["protocol"] == 1 and found["image"]["worker_seconds"] > 0


def test_every_problem_is_told_at_once(image: Any) -> None:
    image.write("gone.py", "import no_such_library\n")
    image.write("shop.py", SHOP.replace("jobs=[Report,", 'jobs=["gone", int, Report,').replace("s3://", "ftp://"))
    problems = image.json("image", "check", "shop:app", code=1)["problems"]
    assert len(problems) == 3
    assert "artifacts='ftp://bucket/prefix' has the scheme 'ftp'" in problems[0]
    assert "module gone cannot be imported" in problems[1] and "no_such_library" in problems[1]
    assert "int" in problems[2]


def test_a_package_with_several_broken_modules_names_them_all(image: Any) -> None:
    package = image.directory / "work"
    package.mkdir()
    for name, text in {"__init__": "", "first": "import no_such_a\n", "second": "import no_such_b\n"}.items():
        (package / f"{name}.py").write_text(text)
    image.write("shop.py", SHOP.replace("jobs=[Report,", 'jobs=["work", Report,'))
    (problem,) = image.json("image", "check", "shop:app", code=1)["problems"]
    assert "no_such_a" in problem and "no_such_b" in problem


def test_a_module_that_only_the_app_can_import_is_told(image: Any) -> None:
    """The app makes it importable; a pod imports the module alone."""
    (image.directory / "inner").mkdir()
    (image.directory / "inner" / "hidden.py").write_text(SHOP)
    image.write("shop.py", "import sys; sys.path.insert(0, 'inner')\nfrom hidden import app\n")
    (problem,) = image.json("image", "check", "shop:app", code=1)["problems"]
    assert problem == "hidden cannot be imported in a pod: ModuleNotFoundError: No module named 'hidden'"


def test_an_app_that_cannot_be_imported_does_not_hide_the_rest(image: Any) -> None:
    image.write("shop.py", "import no_such_library\n")
    found = image.json("image", "check", "shop:app", "--artifacts", "ftp://x", code=1)
    assert found["app"] is None and len(found["problems"]) == 2
    assert "no_such_library" in found["problems"][1]


def test_a_path_without_python3_is_a_problem(image: Any, tmp_path: Path) -> None:
    image.env["PATH"] = str(tmp_path)
    problems = image.json("image", "check", "shop:app", code=1)["problems"]
    assert problems[0].startswith("there is no python3 on the PATH: a pod starts python3 -m klassd.workflows.worker run")


def test_modules_without_bytecode_are_remarked(image: Any) -> None:
    image.env["PYTHONDONTWRITEBYTECODE"] = "1"
    remarks = image.json("image", "check", "shop:app")["remarks"]
    assert any("modules have no bytecode, so each pod compiles them anew" in each for each in remarks)


def test_what_a_module_prints_does_not_stand_in_the_document(image: Any) -> None:
    image.write("shop.py", 'print("hello")\nimport os; os.write(1, b"there\\n")\n' + SHOP)
    done = image("image", "check", "shop:app", "--json")
    assert done.stdout.splitlines()[-1].startswith('{"app": "shop:app"')


def test_without_an_app_there_is_nothing_to_check(image: Any) -> None:
    assert "no app was named" in image("image", "check", code=2).stderr

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

import klassd.workflows


def test_the_package_ships_the_marker_that_it_is_typed() -> None:
    assert (files("klassd.workflows") / "py.typed").is_file()


@pytest.mark.parametrize("name", klassd.workflows.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(klassd.workflows, name) is not None


@pytest.mark.parametrize(
    "code",
    [
        "from klassd.workflows import Job, job",
        "import klassd.workflows.job; from klassd.workflows import job",
        "from klassd.workflows.workflow import Workflow; from klassd.workflows import job",
    ],
)
def test_job_is_the_decorator_whichever_module_was_loaded_before(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n@job\ndef work(ctx, x: int) -> int: return x\nprint(work(x=3).run(None))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")

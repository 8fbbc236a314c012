"""The reference Dockerfile: no container engine is needed to see that what it says is what pods and the command rely on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from klassd.workflows.cli.arguments import parser_for
from klassd.workflows.deploy.installation import PORT, Installation
from klassd.workflows.executors.kubernetes.defaults import NOBODY
from klassd.workflows.executors.kubernetes.manifest import COMMAND

ROOT = Path(__file__).resolve().parents[2]
STEPS = [
    step.split(maxsplit=1)
    for step in (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    if step and not step.startswith("#")
]


def said(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]


def test_it_has_the_instructions_that_every_engine_knows_and_ends_in_a_stage_that_builds_nothing() -> None:
    names = [name for name, _ in STEPS]
    assert set(names) == {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "CMD"}
    last = STEPS[len(names) - names[::-1].index("FROM") :]
    assert all(rest.startswith("--from=build ") for name, rest in last if name == "COPY")
    assert [rest.split(" -q ")[0] for name, rest in last if name == "RUN" and not rest.startswith("rm ")] == [
        "python3 -m compileall"
    ]


def test_its_user_is_the_number_that_pods_have() -> None:
    assert said("USER") == [f"{NOBODY}:{NOBODY}"]


def test_it_serves_by_default_where_the_service_looks_for_it() -> None:
    command = json.loads(said("CMD")[0])
    assert command[:2] == ["klassd", "serve"]
    assert parser_for("serve").parse_args(command[2:]).host == "0.0.0.0"
    assert said("EXPOSE") == [str(PORT)]


def test_its_code_lies_where_the_manifest_looks_for_a_configuration() -> None:
    assert said("WORKDIR")[-1] == Installation(image="i").workdir == "/app"


def test_the_files_that_it_copies_are_those_that_are_gathered_for_the_image_of_the_tests(tmp_path: Path) -> None:
    gathered = tmp_path / "image"
    subprocess.run([ROOT / "scripts" / "test-image-files", sys.executable, gathered], cwd=ROOT, check=True)
    own = [rest.split()[:-1] for rest in said("COPY") if not rest.startswith("--from")]
    patterns = [pattern for each in own for pattern in each]
    assert all(list(gathered.glob(pattern)) for pattern in patterns), patterns
    (wheel,) = gathered.glob("*.whl")
    required = re.fullmatch(rf"\./{re.escape(wheel.name)}\[(.*)\]\n", (gathered / "requirements.txt").read_text())
    assert required and {"kubernetes", "server"} <= set(required[1].split(","))
    assert (gathered / "Dockerfile").read_text() == (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.mark.parametrize("module", ["klassd.workflows.worker", "klassd.workflows.cli"])
def test_what_it_compiles_is_used_although_nothing_can_be_written(module: str, tmp_path: Path) -> None:
    """Its very command, on a copy of this package: bytecode that no check against a file's time throws away."""
    (options,) = [
        found[1] for rest in said("RUN") if (found := re.fullmatch(r"python3 -m compileall (.*) /venv/lib /app", rest))
    ]
    shutil.copytree(ROOT / "src" / "klassd", tmp_path / "klassd", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", *options.split(), str(tmp_path)], check=True)
    for path in tmp_path.rglob("*.py"):
        os.utime(path, (1, 1))
    code = f"import {module}, sys; print(sys.modules['{module}'].__cached__)"
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-v", "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    cached = done.stdout.strip()
    assert cached.startswith(str(tmp_path)) and f"code object from '{cached}'" in done.stderr


def test_a_pod_starts_what_the_image_has_on_its_path() -> None:
    assert COMMAND[0] == "python3" and said("ENV")[0].startswith("PATH=/venv/bin:")

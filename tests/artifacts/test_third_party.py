"""An artifact store of somebody else: a package with an entry point, installed as any other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "artifact-store-sqlite"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the package is installed."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(PACKAGE)], ROOT, dict(os.environ))
    return os.environ | {"PYTHONPATH": f"{target}{os.pathsep}{ROOT}"}


def run(command: list[str], directory: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_passes_the_suite_that_ours_pass(installed: dict[str, str], tmp_path: Path) -> None:
    said = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PACKAGE)], tmp_path, installed)
    assert "failed" not in said
    assert "[100%]" in said


def test_real_workers_use_it_by_its_url(installed: dict[str, str], tmp_path: Path) -> None:
    env = installed | {"KLASSD_ARTIFACTS": f"sqlite:///{tmp_path}/artifacts.db"}
    klassd = [sys.executable, "-m", "klassd.workflows.cli"]
    run([*klassd, "run", "examples.catalog_integration:app", "catalog-integration"], tmp_path, env)
    assert run([*klassd, "artifacts", "--to", "-"], tmp_path, env).count("\n") == 40
    assert (tmp_path / "artifacts.db").stat().st_size > 0

"""An image of this machine's own shell, for the tests that need docker or podman."""

from __future__ import annotations

import glob
import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from klassd.workflows.containers.engine import Engine, find_engine
from klassd.workflows.errors import LaunchRefused

IMAGE = "localhost/klassd-test-shell:1"
PROGRAMS = ("sh", "sleep", "perl")
MODULES = "/usr/lib/*/perl-base"  # every Debian has them, IO::Socket among them


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    try:
        found = find_engine()
    except LaunchRefused as refused:
        pytest.skip(str(refused))
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    archive.write_bytes(_image())
    imported = subprocess.run([found.path, "import", archive, IMAGE], capture_output=True, text=True, check=False)
    assert imported.returncode == 0, imported.stderr
    tried = subprocess.run([found.path, "run", "--rm", IMAGE, "/bin/sh", "-c", "exit 7"], capture_output=True, check=False)
    if tried.returncode != 7:
        pytest.skip(f"{found.path} runs no container here: {tried.stderr.decode()}")
    yield found
    subprocess.run([found.path, "rmi", "--force", IMAGE], capture_output=True, check=False)


def _image() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for inside, path in _files().items():
            archive.add(path, inside)
    return written.getvalue()


def _files() -> dict[str, Path]:
    """The programs and the libraries they need."""
    found = {}
    for name in PROGRAMS:
        program = shutil.which(name)
        assert program
        found[f"bin/{name}"] = Path(program).resolve()
        needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        found |= {library.lstrip("/"): Path(library).resolve() for library in re.findall(r"(/\S+)", needed)}
    return found | {path.lstrip("/"): Path(path) for path in glob.glob(MODULES)}

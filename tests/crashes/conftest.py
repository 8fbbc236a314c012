from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _sockets_in_a_directory_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    tmp_path_factory.getbasetemp()
    directory = tempfile.mkdtemp(prefix="k")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", directory)  # for other processes
        patched.setattr(tempfile, "tempdir", directory)
        yield
    shutil.rmtree(directory)

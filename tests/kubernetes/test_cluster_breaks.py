"""A real cluster behind a network that fails: what is cut, refused or never answered costs no pod and no line."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cluster_help import Cluster
from outcomes import came_to, ours

from klassd.workflows.executors.kubernetes import KubernetesExecutor
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.testing.executors import hear, hear_until, opened, run
from klassd.workflows.testing.proxy import FaultProxy, Faults, Way

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

HELLO = 4096  # bytes, about, before the API has said anything: the server's certificates


@asynccontextmanager
async def cut_off(cluster: Cluster, path: Path) -> AsyncIterator[tuple[FaultProxy, KubernetesExecutor]]:
    """An executor, and the network between it and the API."""
    config = config_of(cluster)
    (server,) = (each["cluster"] for each in config["clusters"])
    parts = urlsplit(server["server"])
    async with FaultProxy((str(parts.hostname), parts.port or 443)) as proxy:
        server["server"] = f"https://127.0.0.1:{proxy.address[1]}"
        server["insecure-skip-tls-verify"] = True  # its certificate may name another host
        server.pop("certificate-authority-data", None)
        (path / "kubeconfig").write_text(json.dumps(config))
        executor = cluster.executor(kubeconfig=str(path / "kubeconfig"))
        async with opened(executor):
            yield proxy, executor
    gc.collect()  # while the test that left them is blamed for connections that were cut in their handshake


def config_of(cluster: Cluster) -> Any:
    return yaml.safe_load(Path(cluster.kubeconfig).read_text())


@pytest.mark.fault("E9")
def test_a_console_whose_connection_is_cut_again_and_again_is_whole(cluster: Cluster, tmp_path: Path) -> None:
    dice = random.Random(1)

    async def check() -> None:
        wanted = ours("Talkative", {"number": 7, "lines": 1000, "seconds": 5.0})
        async with cut_off(cluster, tmp_path) as (proxy, executor):
            await executor.launch(wanted)
            await hear_until(executor, wanted.execution_id, "7: line 10")
            hearing = asyncio.create_task(hear(executor, wanted.execution_id))
            for _ in range(10):
                proxy.faults = Faults(down=Way(cut=dice.randrange(HELLO, 4 * HELLO)) if dice.random() < 0.5 else Way())
                await asyncio.sleep(dice.uniform(0.1, 0.8))
                await proxy.drop()
            proxy.faults = Faults()
            heard = await hearing
            assert len(proxy.passages) > 10
        assert heard.lines == [f"7: line {line}" for line in range(1000)]
        assert came_to(heard).status is ExecutionStatus.SUCCEEDED and heard.started == 1

    run(check)


@pytest.mark.fault("E4")
def test_a_pod_that_ends_while_the_api_is_away_is_told_when_it_is_back(cluster: Cluster, tmp_path: Path) -> None:
    async def check() -> None:
        wanted = ours("Talkative", {"number": 1, "lines": 100, "seconds": 3.0})
        async with cut_off(cluster, tmp_path) as (proxy, executor):
            await executor.launch(wanted)
            before = await hear_until(executor, wanted.execution_id, "1: line 10")
            hearing = asyncio.create_task(hear(executor, wanted.execution_id))
            proxy.faults = Faults(refuse=True)
            await proxy.drop()
            await asyncio.to_thread(cluster.until, lambda: ended(cluster, wanted.execution_id), "its end, seen by others")
            with pytest.raises(OSError, match="does not answer"):
                await executor.launch(ours("Steps"))
            proxy.faults = Faults()
            heard = await hearing
            assert before.lines == heard.lines[: len(before.lines)]
            assert heard.lines == [f"1: line {line}" for line in range(100)]
            assert came_to(heard).status is ExecutionStatus.SUCCEEDED

    run(check, 120.0)


@pytest.mark.fault("E5")
def test_a_create_whose_answer_is_lost_makes_one_pod(cluster: Cluster, tmp_path: Path) -> None:
    async def check() -> None:
        wanted = ours("Steps", {"count": 1})
        async with cut_off(cluster, tmp_path) as (proxy, executor):
            refused = 0
            for cut in (0, 1000, *range(HELLO - 3000, HELLO + 1500, 500)):
                proxy.faults = Faults(down=Way(cut=cut))
                await proxy.drop()
                try:
                    await executor.launch(wanted)
                except OSError:
                    refused += 1
            assert refused > 2
            proxy.faults = Faults()
            await proxy.drop()
            await executor.launch(wanted)
            assert came_to(await hear(executor, wanted.execution_id)).status is ExecutionStatus.SUCCEEDED
        assert len(cluster.jobs(wanted.execution_id)) == len(cluster.pods(wanted.execution_id)) == 1

    run(check, 120.0)


def ended(cluster: Cluster, execution_id: str) -> bool:
    return any(pod["status"].get("phase") == "Succeeded" for pod in cluster.pods(execution_id))

"""Connections to an API server that says nothing when it is greeted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows.executors.kubernetes.api import PODS, Api, connect
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings


class Mute:
    def __init__(self) -> None:
        self.greeted, self.left = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        self.greeted.set()
        await reader.read()
        self.left.set()
        writer.close()


def kubeconfig(path: Path, port: int) -> str:
    said = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "jobs"}}],
    }
    (path / "kubeconfig").write_text(json.dumps(said))
    return str(path / "kubeconfig")


async def watch(api: Api) -> None:
    async for _ in api.watch(PODS, "", "1"):
        pass


@pytest.mark.parametrize("ask", [lambda api: api.get(PODS), watch], ids=["a request", "a watch"])
def test_whoever_is_cancelled_while_shaking_hands_leaves_no_socket_open(
    ask: Callable[[Api], Coroutine[Any, Any, Any]], tmp_path: Path
) -> None:
    async def check() -> None:
        mute = Mute()
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        api = connect(KubernetesSettings(kubeconfig=kubeconfig(tmp_path, server.sockets[0].getsockname()[1])))
        asking = asyncio.create_task(ask(api))
        async with asyncio.timeout(20):
            await mute.greeted.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await mute.left.wait()
        await api.close()
        server.close()

    asyncio.run(check())

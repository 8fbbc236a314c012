"""The whole of it: storage, API, controllers and a node on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from fake_api.containers import Runtime
from fake_api.deletion import Garbage
from fake_api.faults import Faults
from fake_api.http import Http
from fake_api.jobs import Jobs
from fake_api.kubelet import Kubelet
from fake_api.processes import process
from fake_api.releases import NEW, Release
from fake_api.server import Server
from fake_api.storage import Storage

T = TypeVar("T")


class Parts:
    """Lives on the loop; nothing of it may be touched from elsewhere but by ``FakeCluster.do``."""

    def __init__(self, release: Release, runtime: Runtime) -> None:
        self.release = release
        self.storage = Storage()
        self.jobs = Jobs(self.storage, release)
        self.kubelet = Kubelet(self.storage, release, runtime)
        self.server = Server(self.storage, self.kubelet, release)
        self.http = Http(self.server.handle)
        self.port = 0
        Garbage(self.storage)

    async def start(self) -> None:
        self.port = await self.http.start(self.port)

    async def close(self) -> None:
        await self.http.stop()
        await self.kubelet.close()


class FakeCluster:
    """``with FakeCluster(...) as fake``. ``runtime``: what containers are; real workers unless something else is said."""

    def __init__(self, release: Release = NEW, runtime: Runtime = process) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake cluster", daemon=True)
        self._directory = tempfile.TemporaryDirectory(prefix="klassd-fake-")
        self._release, self._runtime = release, runtime
        self.parts: Parts

    def __enter__(self) -> FakeCluster:
        self._thread.start()
        self.parts = self.do(lambda: Parts(self._release, self._runtime))
        self.wait(self.parts.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self.parts.close())
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._directory.cleanup()

    @property
    def kubeconfig(self) -> str:
        """A new file each time."""
        return self.kubeconfig_of(self.parts.port)

    def kubeconfig_of(self, port: int, token: str | None = None) -> str:
        """For a client that comes by another way."""
        path = Path(self._directory.name) / f"kubeconfig-{port}-{bool(token)}"
        path.write_text(json.dumps(kubeconfig(port, token)))
        return str(path)

    # -- from other threads -------------------------------------------------------------------------------------

    def do(self, what: Callable[[], T]) -> T:
        """On the loop of the cluster."""

        async def doing() -> T:
            return what()

        return self.wait(doing())

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    @property
    def faults(self) -> Faults:
        return self.parts.server.faults

    def stop_api(self) -> None:
        """The API server is away: nobody listens. What runs on the node runs on."""
        self.wait(self.parts.http.stop())

    def start_api(self) -> None:
        self.wait(self.parts.start())


def kubeconfig(port: int, token: str | None = None) -> dict[str, Any]:
    user = {"token": token} if token else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "fake", "user": user}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }

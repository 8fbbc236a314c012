"""The few requests that the executor makes, on plain JSON: a scheduler that watches 2,000 pods has no use for typed copies.

Signing in (service account, kubeconfig, tokens that are renewed) is lightkube's, but for exec plug-ins. Every request has a
deadline, and whatever does not answer is an ``OSError``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
from lightkube import KubeConfig
from lightkube.config.client_adapter import ConnectionParams, ExecAuth
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.executors.kubernetes.handshake import Handshake
from klassd.workflows.executors.kubernetes.plugin import PluginAuth
from klassd.workflows.executors.kubernetes.rights import lacking
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings

CONNECT, ANSWER = 5.0, 20.0  # seconds
TOTAL = 60.0  # seconds for one request, however slowly its answer drips
WATCH = 50  # seconds that one watch lasts; the API server ends it, and the next begins where it left off
SILENCE = 60.0  # seconds without a byte after which the other side is taken for gone; a worker says something every 10 s
NO_LIMIT = httpx2.Limits(max_connections=None, max_keepalive_connections=20)  # a console is a connection for each running pod
STREAM = httpx2.Timeout(ANSWER, connect=CONNECT, read=SILENCE)
PAGE = 500  # objects of one answer to a list
BARE = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

JOBS, PODS = "/apis/batch/v1/namespaces/{namespace}/jobs", "/api/v1/namespaces/{namespace}/pods"
CONFIG_MAPS, EVENTS = "/api/v1/namespaces/{namespace}/configmaps", "/api/v1/namespaces/{namespace}/events"
SECRETS = "/api/v1/namespaces/{namespace}/secrets"


class ApiError(Exception):
    """The API server refused. ``reason``: its word for it ("AlreadyExists", "Forbidden", ...)."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        self.status, self.reason, self.message, self.retry_after = status, reason, message, retry_after
        self.lacking = lacking(message) if status == 403 else None
        super().__init__(f"{_lacks(self.lacking)}{status} {reason}: {message}")

    @property
    def unavailable(self) -> bool:
        """It may be otherwise soon, and says nothing of what was asked."""
        return self.status in (408, 429) or self.status >= 500


def _lacks(right: str | None) -> str:
    return f"configuration: the scheduler lacks the right to {right}; the role of `klassd manifest` has it: " if right else ""


class Unavailable(OSError):
    """No answer, or one that says to come again: ``retry_after`` seconds, where it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Api:
    def __init__(self, client: httpx2.AsyncClient, namespace: str) -> None:
        self._client, self.namespace = client, namespace

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        return await self._ask("GET", path)

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", path, manifest)

    async def patch(self, path: str, name: str, merge: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/merge-patch+json"}
        return await self._ask("PATCH", f"{path}/{name}", merge, headers=headers)

    async def delete(self, path: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("DELETE", f"{path}/{name}", options)

    async def events(self, name: str) -> list[dict[str, Any]]:
        """What was said about the object of that name."""
        found: list[dict[str, Any]] = (await self._ask("GET", EVENTS, query={"fieldSelector": f"involvedObject.name={name}"}))[
            "items"
        ]
        return found

    async def list(self, path: str, selector: str, *, bare: bool = False) -> tuple[list[dict[str, Any]], str]:
        """All of them, and the version from which on a watch tells what changed. ``bare``: their metadata only."""
        items: list[dict[str, Any]] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        headers = {"accept": BARE} if bare else None
        while True:
            answer = await self._ask("GET", path, query=query, headers=headers)
            items += answer["items"] or ()  # null, where there is no bare one
            metadata = answer["metadata"]
            if not metadata.get("continue"):
                return items, str(metadata["resourceVersion"])
            query["continue"] = metadata["continue"]

    async def watch(self, path: str, selector: str, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(ADDED, MODIFIED, DELETED or BOOKMARK, object) until the server ends it. Raises ``ApiError`` 410 when ``version`` is
        too old."""
        query = {
            "labelSelector": selector,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH),
        }
        async with self._stream(path, query) as response:
            async for event in _events(response):
                if event["type"] == "ERROR":
                    raise _error_of(int(event["object"].get("code") or 500), event["object"], None)
                yield event["type"], event["object"]

    async def log(self, pod: str, container: str, *, since: str = "", follow: bool) -> AsyncGenerator[bytes, None]:
        """Portions of its console, each line behind its time."""
        query = {"container": container, "timestamps": "true", "follow": str(follow).lower()}
        if since:
            query["sinceTime"] = since
        path = f"{PODS}/{pod}/log"
        async with self._stream(path, query) as response:
            async for portion in response.aiter_bytes():
                yield portion

    # -- one request --------------------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        content = None if body is None else msgspec.json.encode(body)
        sent = {"content-type": "application/json", **(headers or {})}
        try:
            async with asyncio.timeout(TOTAL):
                response = await self._client.request(
                    method, self._url(path), params=query, content=content, headers=sent, extensions={"trace": Handshake()}
                )
        except (httpx2.TransportError, ConfigError, TimeoutError) as error:
            raise Unavailable(f"the Kubernetes API does not answer: {_described(error)}") from error
        _check(response.status_code, response.content, response.headers)
        answer: dict[str, Any] = msgspec.json.decode(response.content)
        return answer

    @asynccontextmanager
    async def _stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        try:
            traced = {"trace": Handshake()}
            async with self._client.stream("GET", self._url(path), params=query, timeout=STREAM, extensions=traced) as response:
                if response.status_code >= 300:
                    _check(response.status_code, await response.aread(), response.headers)
                yield response
        except (httpx2.TransportError, ConfigError) as error:
            raise Unavailable(f"the Kubernetes API does not answer: {_described(error)}") from error

    def _url(self, path: str) -> str:
        return path.replace("{namespace}", self.namespace)


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """A line each; not by ``aiter_lines``, which also breaks lines at characters that may stand in JSON."""
    rest = b""
    async for portion in response.aiter_bytes():
        *lines, rest = (rest + portion).split(b"\n")
        for line in lines:
            yield _event(line)


def _event(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Unavailable(f"a watch said what is no event: {error}") from error


def _check(status: int, content: bytes, headers: Mapping[str, str]) -> None:
    if status < 300:
        return
    try:
        said = json.loads(content)
    except ValueError:
        said = {"message": content[:200].decode(errors="replace")}
    error = _error_of(status, said if isinstance(said, dict) else {}, headers.get("retry-after"))
    if status == 401:
        raise Unavailable(f"configuration: the Kubernetes API does not accept our credentials ({error})", error.retry_after)
    if error.unavailable:
        raise Unavailable(str(error), error.retry_after)
    raise error


def _error_of(status: int, said: Mapping[str, Any], after: str | None) -> ApiError:
    """``said``: the ``Status`` object it answered."""
    wait = float(after) if after and after.isdigit() else None
    return ApiError(status, said.get("reason") or "", said.get("message") or "", wait)


def _described(error: Exception) -> str:
    return str(error) or type(error).__name__


def namespace(settings: KubernetesSettings) -> str:
    """Where the pods run. Raises ``ConfigurationError`` when nobody says it."""
    return settings.namespace or _cluster(settings).namespace


def connect(settings: KubernetesSettings) -> Api:
    """Raises ``ConfigurationError`` when it is not said which cluster."""
    config = _cluster(settings)
    try:
        said = ConnectionParams(timeout=httpx2.Timeout(ANSWER, connect=CONNECT), trust_env=False).httpx_params(config)
        if isinstance(said["auth"], ExecAuth):
            assert config.user is not None and config.user.exec is not None
            said["auth"] = PluginAuth(config.user.exec, config)
        client = httpx2.AsyncClient(**said, limits=NO_LIMIT)
    except (ConfigError, OSError, ValueError) as error:
        raise _nowhere(error) from error
    return Api(client, settings.namespace or config.namespace)


def _cluster(settings: KubernetesSettings) -> SingleConfig:
    try:
        return _config(settings)
    except (ConfigError, OSError, ValueError) as error:
        raise _nowhere(error) from error


def _nowhere(error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"no Kubernetes cluster: {error}; expected a service account (inside a cluster), or a kubeconfig in KUBECONFIG,"
        " ~/.kube/config or [kubernetes] kubeconfig"
    )


def _config(settings: KubernetesSettings) -> SingleConfig:
    known = KubeConfig.from_file(settings.kubeconfig) if settings.kubeconfig else KubeConfig.from_env()
    found = known.get(settings.context)
    if found is None:
        raise ConfigError(f"there is no context {settings.context!r}" if settings.context else "nothing was found")
    return found

"""Signing in with what an exec plug-in of the kubeconfig gives, as the command lines of the clouds bring one.

lightkube knows the versions of its protocol before v1, starts the plug-in once for each request under way, and never because a
token is about to run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import msgspec
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import UserExec
from lightkube.core.exceptions import ConfigError

from klassd.workflows.executors.kubernetes.timestamps import epoch

VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
PATIENCE = 30.0  # seconds that it may take: some ask a service
EARLY = 10.0  # seconds before its end at which a token is not used any more


class _Status(msgspec.Struct, frozen=True):
    token: str = ""
    expirationTimestamp: str | None = None  # noqa: N815  # Kubernetes' own name


class _Credential(msgspec.Struct, frozen=True):
    status: _Status = _Status()


class PluginAuth(httpx2.Auth):
    def __init__(self, plugin: UserExec, config: SingleConfig) -> None:
        self._plugin, self._config = plugin, config
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        token = await self._fresh(refused="")
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            request.headers["Authorization"] = f"Bearer {await self._fresh(refused=token)}"
            yield request

    async def _fresh(self, refused: str) -> str:
        """One plug-in at a time, however many requests wait for it."""
        async with self._lock:
            if self._token in ("", refused) or time.time() >= self._until:
                status = await self._ask()
                self._token = status.token
                self._until = (epoch(status.expirationTimestamp) or float("inf")) - EARLY
            return self._token

    async def _ask(self) -> _Status:
        name = self._plugin.command
        if self._plugin.apiVersion not in VERSIONS:
            raise _trouble(name, f"it speaks {self._plugin.apiVersion}; known are {', '.join(VERSIONS)}")
        try:
            async with asyncio.timeout(PATIENCE):
                said = await self._run()
        except TimeoutError:
            raise _trouble(name, f"it said nothing within {PATIENCE:g} s") from None
        except FileNotFoundError:
            raise _trouble(name, f"it is not installed here. {self._plugin.installHint or ''}".strip()) from None
        except OSError as error:
            raise _trouble(name, str(error)) from error
        try:
            status = msgspec.json.decode(said, type=_Credential).status
        except msgspec.MsgspecError as error:
            raise _trouble(name, f"what it said is no ExecCredential: {error}") from error
        if not status.token:
            raise _trouble(name, "it gave no token; certificates from a plug-in are not supported")
        return status

    async def _run(self) -> bytes:
        process = await asyncio.create_subprocess_exec(
            self._command(),
            *(self._plugin.args or ()),
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, complaint = await process.communicate()
        except BaseException:
            _kill_all(process.pid)
            await process.wait()
            raise
        if process.returncode:
            lines = complaint.decode(errors="replace").strip().splitlines()
            raise _trouble(self._plugin.command, f"exit code {process.returncode}: {lines[-1] if lines else 'no word why'}")
        return out

    def _command(self) -> str:
        """A path is meant from the kubeconfig on, a bare name from PATH."""
        command = self._plugin.command
        return str(self._config.abs_file(command)) if os.sep in command else command

    def _environment(self) -> dict[str, str]:
        given = {each.name: each.value for each in self._plugin.env or ()}
        return {**os.environ, **given, "KUBERNETES_EXEC_INFO": msgspec.json.encode(self._info()).decode()}

    def _info(self) -> dict[str, Any]:
        cluster = self._config.cluster
        told = {"server": cluster.server, "certificate-authority-data": cluster.certificate_auth_data}
        spec = {"interactive": False, "cluster": {name: value for name, value in told.items() if value}}
        return {"apiVersion": self._plugin.apiVersion, "kind": "ExecCredential", "spec": spec}


def _kill_all(leader: int) -> None:
    """A plug-in is often a script around another program, which holds the pipes when the script alone is killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _trouble(name: str, what: str) -> ConfigError:
    return ConfigError(f"signing in with the exec plug-in {name!r} failed: {what}")

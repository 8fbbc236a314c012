"""Settings, from the strongest to the weakest: ``KLASSD_*`` variables, ``klassd.toml``, what the code says, the defaults.

The environment is stronger than the code so that the same code moves from a laptop to a server without an edit.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job_options import Resources, needs_of
from klassd.workflows.options import Needs, seconds

FILE = "klassd.toml"
DAY = 86_400.0
SHORTEST = 3600.0  # seconds that a run is kept: what an executor has of it must have been tidied up, and its waiters told
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    app: str | None = None  # "module:attribute"; for commands that are not told
    store: str | None = None  # URL; default: sqlite in the state directory
    artifacts: str | None = None  # URL; default: files in the state directory
    executor: str = "local"  # name: "local", "kubernetes", or one that another package brings
    state: str = ".klassd"  # directory of the embedded store, consoles under way and artifacts
    concurrency: int | None = None  # executions at once; default: the executor's own
    lease: float = 15.0  # seconds
    listen: str = "127.0.0.1:8700"  # HOST:PORT of `klassd serve`
    retention: float | None = 90 * DAY  # how long runs are kept after their end, such as "30d"; "forever" keeps all
    keep_artifacts: bool = False  # when their runs are removed; for a bucket that removes them by itself
    start: str = "auto"  # local executor: "auto", "fork" or "spawn"
    queues: dict[str, int] = {}  # executions at once, by queue
    config: dict[str, Any] = {}  # what jobs see as ctx.config
    resources: dict[str, Resources | Literal["unconstrained"]] = {}  # by job key, stronger than what the code asks for
    image: str | None = None  # of the pods of jobs that name none of their own
    namespace: str | None = None  # where the pods run; default: the scheduler's own, or the kubeconfig's
    kubernetes: dict[str, Any] = {}  # what else the Kubernetes executor must know

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:///{os.path.join(os.path.abspath(self.state), 'klassd.db')}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def needs(self) -> dict[str, Needs]:
        return {job: needs_of(given) for job, given in self.resources.items()}

    @property
    def artifacts_url(self) -> str:
        return self.artifacts or f"file://{quote(os.path.join(os.path.abspath(self.state), 'artifacts'))}"


def _retention(text: Any) -> float | None:
    return None if text == "forever" else seconds(text)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError("expected true or false")
    return _WORDS[text.lower()]


# name -> how its text in a variable is read
_READERS: dict[str, Any] = {
    "app": str,
    "store": str,
    "artifacts": str,
    "executor": str,
    "state": str,
    "listen": str,
    "start": str,
    "image": str,
    "namespace": str,
    "concurrency": int,
    "lease": seconds,
    "retention": _retention,
    "keep_artifacts": _yes_or_no,
}
_WRITTEN = ("lease", "retention")  # text that is read wherever it stands


def load(code: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None, directory: str = ".") -> Settings:
    """The settings that hold. ``code``: what the application's own code says (None values say nothing)."""
    said = _understood({name: value for name, value in (code or {}).items() if value is not None}, "App(...)")
    said.update(_from_file(os.path.join(directory, FILE)))
    env = os.environ if env is None else env
    said.update(_from_environment(env))
    if isinstance(table := said.get("kubernetes", {}), dict):
        said["kubernetes"] = table | _of_kubernetes(env)
    return _checked(said)


def _from_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            said = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    unknown = sorted(said.keys() - set(Settings.__struct_fields__))
    if unknown:
        known = ", ".join(Settings.__struct_fields__)
        raise ConfigurationError(f"{path} sets {', '.join(map(repr, unknown))}, which is no setting; there are: {known}")
    return _understood(said, path)


def _understood(said: dict[str, Any], where: str) -> dict[str, Any]:
    return said | {name: _read(name, said[name], where) for name in _WRITTEN if name in said}


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    found = ((name, f"KLASSD_{name.upper()}") for name in _READERS)
    return {name: _read(name, env[variable], variable) for name, variable in found if env.get(variable)}


_KUBERNETES = "KLASSD_KUBERNETES_"
_ADDRESS = re.compile(r"([^:\[\]\s]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")


def _of_kubernetes(env: Mapping[str, str]) -> dict[str, str]:
    """``KLASSD_KUBERNETES_CONTEXT=kind`` is ``context = "kind"`` of the table; its reader knows which there are."""
    return {name.removeprefix(_KUBERNETES).lower(): text for name, text in env.items() if name.startswith(_KUBERNETES) and text}


def _read(name: str, text: Any, where: str) -> Any:
    try:
        return _READERS[name](text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is {text!r} in {where}: {error}") from error


def _resources(job: str, given: Any) -> Resources | Literal["unconstrained"]:
    try:
        return msgspec.convert(given, Resources | Literal["unconstrained"])
    except (msgspec.ValidationError, ConfigurationError) as error:
        raise ConfigurationError(f"resources of {job!r} cannot be used: {error}") from error


def _checked(said: dict[str, Any]) -> Settings:
    if isinstance(said.get("resources"), dict):
        said["resources"] = {job: _resources(job, given) for job, given in said["resources"].items()}
    try:
        settings = msgspec.convert(said, Settings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"a setting cannot be used: {error}") from error
    if settings.concurrency is not None and settings.concurrency < 1:
        raise ConfigurationError(f"concurrency is {settings.concurrency}: expected at least 1")
    if settings.lease < 1:
        raise ConfigurationError(
            f"lease is {settings.lease:g} s: expected at least 1 s, or schedulers lose their runs to each other"
        )
    if settings.retention is not None and settings.retention < SHORTEST:
        raise ConfigurationError(f"retention is {settings.retention:g} s: expected at least '1h', or 'forever'")
    if not _ADDRESS.fullmatch(settings.listen) or settings.address[1] > 65535:
        raise ConfigurationError(f"listen is {settings.listen!r}: expected HOST:PORT, such as 127.0.0.1:8700 or [::1]:8700")
    if settings.start not in ("auto", "fork", "spawn"):
        raise ConfigurationError(f"start is {settings.start!r}: expected 'auto', 'fork' or 'spawn'")
    return settings

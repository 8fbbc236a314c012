"""What an installation is made of: names, image, where things are kept."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from klassd.workflows.errors import ConfigurationError

PORT = 8700
STATE = "/var/lib/klassd"  # where the embedded store lies in the scheduler's pod
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?")  # the Service's name, with room for what is made of it
_SECRET = re.compile(r"secret:(?P<name>[a-z0-9]([a-z0-9.-]*[a-z0-9])?)/(?P<key>[A-Za-z0-9._-]+)")
_RELEASE = re.compile(r"1\.\d+")


class SecretRef(msgspec.Struct, frozen=True):
    """A value that stands in a Secret of the namespace, never in a manifest."""

    name: str
    key: str


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Raises ``ConfigurationError`` for what cannot be."""

    image: str
    app: str | None = None  # "module:attribute"; None: the klassd.toml of the image or of ``config`` says it
    name: str = "klassd"
    namespace: str | None = None
    create_namespace: bool = False
    store: str | None = None  # URL, or secret:NAME/KEY; None: SQLite on a claim
    artifacts: str | None = None  # likewise; None: files, which pods cannot share
    secrets: tuple[str, ...] = ()  # Secrets whose entries become variables of the scheduler
    config: str | None = None  # text of a klassd.toml
    workdir: str = "/app"  # of the image: where the scheduler looks for klassd.toml
    storage: str = "1Gi"
    storage_class: str | None = None
    replicas: int = 1
    open_egress: bool = False  # jobs may connect to anywhere
    kubernetes: str | None = None  # "1.20": the oldest release that must take it; None: any that is maintained

    def __post_init__(self) -> None:
        for problem in filter(None, (self._misnamed(), self._exposed(), self._crowded(), self._undated())):
            raise ConfigurationError(problem)

    @property
    def embedded(self) -> bool:
        """Its store is SQLite on a claim: one scheduler at a time."""
        return self.store is None

    @property
    def jobs_account(self) -> str:
        return f"{self.name}-jobs"

    @property
    def release(self) -> tuple[int, int]:
        major, minor = (self.kubernetes or "1.32").split(".")
        return int(major), int(minor)

    def _misnamed(self) -> str:
        if not _NAME.fullmatch(self.name):
            return f"name is {self.name!r}: expected at most 42 small letters, digits and hyphens, a letter first"
        if self.create_namespace and not self.namespace:
            return "which namespace is to be created is not said: add --namespace"
        return ""

    def _exposed(self) -> str:
        for what, url in (("store", self.store), ("artifacts", self.artifacts)):
            if url and not secret_of(url) and "@" in urlsplit(url).netloc:
                return (
                    f"the URL of the {what} holds credentials, and a manifest is no place for them: put it into a Secret,"
                    f" and say --{what} secret:NAME/KEY"
                )
        if self.store and self.store.partition(":")[0] in ("sqlite", "memory"):
            return (
                f"store is {self.store!r}: a pod's own file or memory is gone with the pod; say nothing to have SQLite on a"
                " claim, or name a database server"
            )
        return ""

    def _crowded(self) -> str:
        if self.replicas < 1:
            return f"replicas is {self.replicas}: expected at least 1"
        if self.replicas > 1 and self.embedded:
            return f"{self.replicas} schedulers cannot share SQLite on a claim: name a database server with --store"
        return ""

    def _undated(self) -> str:
        if self.kubernetes and not _RELEASE.fullmatch(self.kubernetes):
            return f"kubernetes is {self.kubernetes!r}: expected a release such as 1.20"
        return ""


def secret_of(url: str) -> SecretRef | None:
    """Of ``secret:NAME/KEY``."""
    found = _SECRET.fullmatch(url)
    return SecretRef(found["name"], found["key"]) if found else None

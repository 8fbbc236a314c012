"""Every module of ours that opens a connection says where its deadlines are; one that forgets them fails here."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import klassd.workflows

SOURCES = Path(klassd.workflows.__file__).parent
ROOT = "klassd.workflows"


class Deadlines(NamedTuple):
    """Constants with seconds, each "module:NAME". ``connect``: until it is connected; ``read``: until the next answer;
    ``total``: for one operation with all its tries."""

    connect: str
    read: str
    total: str


# Every client. A new one comes in here, with constants that its code really uses.
CLIENTS = {
    "executors.local.control": Deadlines(
        connect="executors.local.adoption:HANDSHAKE",
        read="executors.local.control:ANSWER",
        total="executors.local.templates:START",
    ),
    "executors.kubernetes.api": Deadlines(
        connect="executors.kubernetes.api:CONNECT",
        read="executors.kubernetes.api:ANSWER",
        total="executors.kubernetes.api:TOTAL",
    ),
    "executors.kubernetes.plugin": Deadlines(
        connect="executors.kubernetes.plugin:PATIENCE",
        read="executors.kubernetes.plugin:PATIENCE",
        total="executors.kubernetes.plugin:PATIENCE",
    ),
    "worker.serving": Deadlines(
        connect="worker.serving:PATIENCE", read="worker.serving:PATIENCE", total="worker.serving:PATIENCE"
    ),
    "worker.start_claim": Deadlines(
        connect="worker.start_claim:CONNECT", read="worker.start_claim:ANSWER", total="worker.start_claim:WAIT"
    ),
    **{
        provider: Deadlines(connect=f"{provider}:CONNECT", read="artifacts.remote:ANSWER", total="artifacts.remote:RETRY_FOR")
        for provider in ("artifacts.gcs", "artifacts.s3")
    },
}
NEVER_WAIT = {
    "executors.local.sweep",  # looks whether somebody listens
    "stores.sqlite.hints",  # sends a byte to whoever listens
}

CALLS = {
    "connect",
    "connect_ex",
    "create_connection",
    "create_unix_connection",
    "open_connection",
    "open_unix_connection",
    "sendto",
}
NOT_OF_A_NETWORK = {"sqlite3"}
LIBRARIES = {
    "aiobotocore", "aiohttp", "asyncpg", "boto3", "botocore", "ftplib", "google", "grpc", "http.client", "httpx", "httpx2",
    "imaplib", "kr8s", "kubernetes", "kubernetes_asyncio", "lightkube", "motor", "obstore", "psycopg", "psycopg2", "pymongo",
    "redis", "requests", "smtplib", "ssl", "urllib.request", "urllib3", "websockets",
}  # fmt: skip


def test_every_client_of_a_network_is_known_with_its_deadlines() -> None:
    found = {name for name in modules() if not name.startswith("testing") and opens_connections(source_of(name))}
    known = CLIENTS.keys() | NEVER_WAIT
    assert found - known == set(), "it opens connections: add it to CLIENTS with its connect, read and total deadlines"
    assert known - found == set(), "it opens none any more: take it out"


@pytest.mark.parametrize(("client", "constant"), [(name, constant) for name, of in CLIENTS.items() for constant in of])
def test_each_deadline_is_a_number_of_seconds_that_the_code_uses(client: str, constant: str) -> None:
    module, _, name = constant.partition(":")
    seconds = getattr(importlib.import_module(f"{ROOT}.{module}"), name)
    assert 0 < seconds <= 3600
    uses = [node for node in ast.walk(ast.parse(source_of(module))) if isinstance(node, ast.Name) and node.id == name]
    assert any(isinstance(use.ctx, ast.Load) for use in uses), f"{constant} is not used in {module}"


@pytest.mark.parametrize("name", sorted(NEVER_WAIT))
def test_those_that_never_wait_say_so_to_the_system(name: str) -> None:
    assert "setblocking(False)" in source_of(name)


@pytest.mark.parametrize(
    "source",
    [
        "import psycopg",
        "from google.cloud import storage",
        "import obstore as obs",
        "def lazily():\n    from http.client import HTTPConnection",
        "import urllib.request",
        "from urllib import request",
        "async def f(): await asyncio.open_connection('h', 1)",
        "loop.create_connection(make, 'h', 1)",
        "sock.connect(('h', 1))",
        "socket.create_connection(('h', 1))",
    ],
)
def test_a_client_is_recognised(source: str) -> None:
    assert opens_connections(source)


@pytest.mark.parametrize(
    "source",
    [
        "import sqlite3\nsqlite3.connect('x')",
        "import urllib.parse",
        "import socket",
        "self.connection",
        "if TYPE_CHECKING:\n    from obstore.store import S3Credential",
    ],
)
def test_what_opens_none_is_not_taken_for_one(source: str) -> None:
    assert not opens_connections(source)


# -- reading sources --------------------------------------------------------------------------------------------------


def modules() -> Iterator[str]:
    for path in sorted(SOURCES.rglob("*.py")):
        yield ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


def source_of(module: str) -> str:
    path = SOURCES.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def opens_connections(source: str) -> bool:
    return any(_connects(node) or _is_library(node) for node in _running(ast.parse(source)))


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All below it but what stands there for type checkers only."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def _connects(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    of = node.func.value
    return node.func.attr in CALLS and not (isinstance(of, ast.Name) and of.id in NOT_OF_A_NETWORK)


def _is_library(node: ast.AST) -> bool:
    """By the name of the package, or of the module in one of the standard library."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return any(name in LIBRARIES or name.partition(".")[0] in LIBRARIES for name in names)

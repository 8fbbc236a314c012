"""Section H of the fault catalogue on real object stores."""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from relay import Relay
from services import Service

import klassd.workflows
from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.remote import MIB, RemoteArtifacts
from klassd.workflows.artifacts.scope import ExecutionArtifacts, store_for
from klassd.workflows.errors import ArtifactError, ArtifactNotStored

PART = RemoteArtifacts.part


@pytest.fixture
def run() -> str:
    return f"run-{os.urandom(6).hex()}"


@pytest.fixture
def store(service: Service) -> RemoteArtifacts:
    return cast(RemoteArtifacts, store_for(service.at(retry_for="10s")))


@pytest.fixture
def relay(service: Service) -> Iterator[Relay]:
    relay = Relay(service.endpoint)
    yield relay
    relay.close()


@pytest.fixture
def relayed(service: Service, relay: Relay) -> Callable[..., RemoteArtifacts]:
    def make(**options: str) -> RemoteArtifacts:
        url = service.at(**options).replace(service.endpoint, relay.endpoint)
        return cast(RemoteArtifacts, store_for(url))

    return make


HALF = """
import sys
from klassd.workflows.artifacts.scope import store_for
with store_for(sys.argv[1]).writer(sys.argv[2]) as writer:
    for _ in range(24):
        writer.write(bytes(1024 * 1024))
    print("half", flush=True)
    sys.stdin.read()
"""


@pytest.mark.fault("H1")
def test_a_writer_killed_in_the_middle_of_an_upload_leaves_nothing_under_the_name(service: Service, run: str) -> None:
    key = f"{run}/e/a"
    with subprocess.Popen(
        [sys.executable, "-c", HALF, service.url, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    store = store_for(service.url)
    assert not [name for name in service.names() if run in name]
    with pytest.raises(ArtifactError, match="is not in"):
        store.open(Artifact(key=key, size=24 * MIB, sha256="0" * 64))
    assert read(store, store.save(key, io.BytesIO(b"whole"))) == b"whole"


@pytest.mark.fault("H1")
def test_a_writer_whose_block_raises_aborts_its_upload(service: Service, store: RemoteArtifacts, run: str) -> None:
    with pytest.raises(KeyError), store.writer(f"{run}/e/a") as writer:
        for _ in range(24):
            writer.write(bytes(MIB))
        assert service.name == "gcs" or [name for name in service.uploads() if run in name]
        raise KeyError
    assert not [name for name in service.names() + service.uploads() if run in name]


@pytest.mark.fault("H2")
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: data + b"!", lambda _: b""]
)
def test_damaged_bytes_fail_before_the_last_of_them_is_given(
    service: Service, store: RemoteArtifacts, run: str, damage: Callable[[bytes], bytes]
) -> None:
    data = os.urandom(MIB + 5)
    artifact = store.save(f"{run}/e/a", io.BytesIO(data))
    service.damage(artifact.key, damage(data))
    with pytest.raises(ArtifactError, match=f"execution e of run {run}"):
        read(store, artifact)


LARGE = """
import hashlib, io, sys
from klassd.workflows.artifacts.scope import store_for
class Zeros(io.RawIOBase):
    left = int(sys.argv[3]) * 1024 * 1024
    def read(self, size=-1):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)
def memory(name):
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith(name))
store = store_for(sys.argv[1])
store.check()
before = memory("VmRSS")
artifact = store.save(sys.argv[2], Zeros())
with store.open(artifact) as stream:
    while stream.read(1024 * 1024):
        pass
print(artifact.size, before, memory("VmHWM"))
"""


@pytest.mark.fault("H3")
@pytest.mark.parametrize(("service", "size"), [("swift", 200), ("gcs", 100)], indirect=["service"])
def test_hundreds_of_megabytes_go_there_and_back_in_64_of_memory(
    service: Service, store: RemoteArtifacts, run: str, size: int
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LARGE, service.url, f"{run}/e/large", str(size)], capture_output=True, check=True, text=True
    )
    saved, before, peak = map(int, told.stdout.split())
    store.delete(run)
    assert saved == size * MIB
    assert peak <= 64, f"{peak} MiB, of which {before} before the first byte"
    assert peak - before <= 32


@pytest.mark.fault("H7")
def test_of_two_attempts_each_keeps_its_own_and_one_that_failed_leaves_none(store: RemoteArtifacts, run: str) -> None:
    first, second = (ExecutionArtifacts(store, run, f"e-{attempt}") for attempt in (1, 2))
    with pytest.raises(KeyError), first.writer("a") as writer:
        writer.write(bytes(PART + 1))
        raise KeyError
    kept = second.save("a", b"second")
    assert second.read(kept) == b"second"
    with pytest.raises(ArtifactError, match="is not in"):
        first.open(Artifact(key=f"{run}/e-1/a", size=PART + 1, sha256="0" * 64))


@pytest.mark.fault("H8")
def test_a_store_that_goes_down_at_the_end_is_tried_until_the_patience_ends(
    service: Service, relay: Relay, relayed: Callable[..., RemoteArtifacts], run: str
) -> None:
    store = relayed(retry_for="1s")
    with pytest.raises(ArtifactNotStored, match=r"could not be stored: .*(1 s|reached)"), store.writer(f"{run}/e/a") as writer:
        for _ in range(20):
            writer.write(bytes(MIB))
        relay.down = True
        relay.cut()
    assert not [name for name in service.names() if run in name]


@pytest.mark.fault("H8")
def test_a_store_that_comes_back_in_time_gets_everything(
    relay: Relay, relayed: Callable[..., RemoteArtifacts], run: str
) -> None:
    def recover() -> None:
        relay.refused.wait(20)
        relay.down = False

    helper = threading.Thread(target=recover)
    helper.start()
    store = relayed(retry_for="20s")
    relay.down_after = 12 * MIB
    data = os.urandom(20 * MIB)
    artifact = store.save(f"{run}/e/a", io.BytesIO(data))
    helper.join()
    assert relay.refused.is_set()
    assert read(store, artifact) == data


@pytest.mark.fault("H8")
def test_a_connection_cut_while_reading_is_made_again(relay: Relay, relayed: Callable[..., RemoteArtifacts], run: str) -> None:
    store = relayed(retry_for="20s")
    data = os.urandom(3 * PART)
    artifact = store.save(f"{run}/e/a", io.BytesIO(data))
    with store.open(artifact) as stream:
        begin = stream.read(MIB)
        relay.cut()
        assert begin + stream.read() == data


@pytest.mark.fault("H9")
def test_an_artifact_deleted_while_it_is_read_is_told_and_never_cut_short(store: RemoteArtifacts, run: str) -> None:
    artifact = store.save(f"{run}/e/a", io.BytesIO(os.urandom(3 * PART)))
    with store.open(artifact) as stream:
        stream.read(1)
        store.delete(run)
        with pytest.raises(ArtifactError, match="could not be read"):
            stream.read()


@pytest.mark.fault("H12")
@pytest.mark.parametrize(("own", "other"), [("acme", "rival"), ("acme", ""), ("", "acme"), ("a", "a/b"), ("acme", "acme ")])
def test_a_reference_of_another_tenant_is_refused(tmp_path: Path, own: str, other: str) -> None:
    theirs = ExecutionArtifacts(str(tmp_path), "run-1", "e", other).save("a", b"secret")
    mine = ExecutionArtifacts(str(tmp_path), "run-2", "e", own)
    for read in (mine.open, mine.read):
        with pytest.raises(ArtifactError, match="is refused: this execution is of"):
            read(theirs)


def test_a_reference_of_another_run_of_the_same_tenant_is_opened(tmp_path: Path) -> None:
    earlier = ExecutionArtifacts(str(tmp_path), "run-1", "e", "acme").save("a", b"shared")
    assert earlier.key == "tenant=3Aacme/run-1/e/a"
    assert ExecutionArtifacts(str(tmp_path), "run-2", "e", "acme").read(earlier) == b"shared"


@pytest.mark.fault("H14")
def test_nothing_is_listed_to_be_found(relay: Relay, relayed: Callable[..., RemoteArtifacts], run: str) -> None:
    store = relayed()
    for size in (3, PART + MIB):
        read(store, store.save(f"{run}/e/a{size}", io.BytesIO(bytes(size))))
    assert [line for line in relay.requests if run in line]
    assert not [line for line in relay.requests if "list-type" in line or "prefix=" in line or line.endswith("/o")]


@pytest.mark.fault("H5", "H13")
def test_bytes_of_a_job_are_never_unpacked_or_made_into_objects() -> None:
    """Nothing in the package unpacks archives or unpickles: what is not there cannot be misled. docker and podman hand a file
    over in a tar only, so one module knows tar; nothing of it is unpacked there either."""
    forbidden = {"pickle", "shelve", "marshal", "dill", "tarfile", "zipfile", "unpack_archive", "eval", "exec"}
    forbidden |= {"extract", "extractall"}
    root = Path(klassd.workflows.__file__).parent
    found = [
        f"{path.name}:{node.lineno}: {name}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _used(node)
        if name in forbidden and (path, name) != (root / "containers" / "running.py", "tarfile")
    ]
    assert found == []


def _used(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(alias.name for alias in node.names)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return [node.func.id]
    return [node.attr] if isinstance(node, ast.Attribute) and node.attr in ("unpack_archive", "extract", "extractall") else []


def read(store: Any, artifact: Artifact[Any]) -> bytes:
    with store.open(artifact) as stream:
        return cast(BinaryIO, stream).read()

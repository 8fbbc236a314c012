import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.file import FileArtifacts
from klassd.workflows.errors import ArtifactError, ConfigurationError

MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> FileArtifacts:
    return FileArtifacts(tmp_path / "artifacts")


def save(store: FileArtifacts, key: str, data: bytes = b"data") -> Artifact:
    return store.save(key, io.BytesIO(data))


def files_of(store: FileArtifacts) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in Path(store.root).rglob("*") if not path.is_dir())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}", "file://localhost{}"])
def test_a_path_and_a_url_mean_the_same_directory(tmp_path: Path, form: str) -> None:
    assert FileArtifacts(form.format(tmp_path)).root == str(tmp_path)


def test_a_url_may_escape_characters(tmp_path: Path) -> None:
    assert FileArtifacts(f"file://{quote(f'{tmp_path}/a b')}").root == f"{tmp_path}/a b"


def test_a_relative_path_is_taken_from_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FileArtifacts("here")
    monkeypatch.chdir("/")
    assert store.root == str(tmp_path / "here")


@pytest.mark.parametrize("url", ["", "file:", "file://", "file://server/share", "a\0b"])
@pytest.mark.fault("H11")
def test_a_url_without_a_local_directory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(repr(url))):
        FileArtifacts(url)


def test_a_failed_save_leaves_no_file_at_all(store: FileArtifacts) -> None:
    with pytest.raises(RuntimeError), store.writer("run/e/a") as writer:
        writer.write(b"x" * 3 * MIB)
        raise RuntimeError
    assert files_of(store) == []


def test_nothing_stands_under_the_name_before_the_end(store: FileArtifacts) -> None:
    with store.writer("run/e/a") as writer:
        writer.write(b"x" * 3 * MIB)
        writer.flush()
        assert [name for name in files_of(store) if name.endswith("/a")] == []
    assert files_of(store) == ["run/e/a"]


def test_bytes_reach_the_disk_before_the_name_does(store: FileArtifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _real=real, _name=name, **k: (calls.append(_name), _real(*a, **k))[1])
    save(store, "run/a")
    save(store, "run/b")
    assert calls == ["fsync", "fsync", "replace", "fsync", "fsync", "replace", "fsync"]  # the first one makes its directory


@pytest.mark.parametrize("failing", ["fsync", "replace", "write"])
def test_a_disk_that_fails_is_told_by_name_and_leaves_nothing(
    store: FileArtifacts, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    save(store, "run/e/before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = open_descriptors()
    with monkeypatch.context() as patch, pytest.raises(ArtifactError, match=r"'run/e/a' could not be stored.*No space left"):
        patch.setattr(os, failing, fail)
        save(store, "run/e/a")
    assert files_of(store) == ["run/e/before"]
    assert open_descriptors() == before


def test_no_descriptor_stays_open(store: FileArtifacts) -> None:
    before = open_descriptors()
    artifact = save(store, "run/e/a")
    with store.open(artifact) as stream:
        stream.read()
    with pytest.raises(ArtifactError):
        store.open(Artifact(key="run/e/none", size=0, sha256=""))
    store.delete("run")
    assert open_descriptors() == before


# -- links that a job plants ------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "a").write_bytes(b"secret")
    return path


@pytest.mark.fault("H6")
def test_saving_over_a_planted_link_replaces_the_link(store: FileArtifacts, outside: Path) -> None:
    save(store, "run/e/other")
    os.symlink(outside / "a", f"{store.root}/run/e/a")
    with store.open(save(store, "run/e/a", b"mine")) as stream:
        assert stream.read() == b"mine"
    assert (outside / "a").read_bytes() == b"secret"


@pytest.mark.fault("H6")
def test_a_planted_link_is_never_read(store: FileArtifacts, outside: Path) -> None:
    artifact = save(store, "run/e/a", b"secret")
    os.unlink(f"{store.root}/run/e/a")
    os.symlink(outside / "a", f"{store.root}/run/e/a")
    with pytest.raises(ArtifactError, match="a link or a file stands"):
        store.open(artifact)


@pytest.mark.fault("H6")
@pytest.mark.parametrize("planted", ["run", "run/e"])
@pytest.mark.fault("H6")
def test_a_planted_link_to_a_directory_is_never_entered(store: FileArtifacts, outside: Path, planted: str) -> None:
    artifact = save(store, "run/e/a", b"secret")
    os.rename(f"{store.root}/{planted}", f"{store.root}/moved")
    os.symlink(outside, f"{store.root}/{planted}")
    for attempt in (lambda: store.open(artifact), lambda: save(store, "run/e/b"), lambda: store.delete("run/e/a")):
        with pytest.raises(ArtifactError, match="a link or a file stands"):
            attempt()
    assert os.listdir(outside) == ["a"]


@pytest.mark.fault("H6")
def test_delete_removes_planted_links_and_not_what_they_point_to(store: FileArtifacts, outside: Path) -> None:
    save(store, "run/e/a")
    os.symlink(outside, f"{store.root}/run/e/directory")
    os.symlink(outside / "a", f"{store.root}/run/file")
    store.delete("run")
    assert os.listdir(store.root) == []
    assert (outside / "a").read_bytes() == b"secret"


def test_delete_of_a_link_itself_removes_only_the_link(store: FileArtifacts, outside: Path) -> None:
    save(store, "other/e/a")
    os.symlink(outside, f"{store.root}/run")
    store.delete("run")
    assert os.listdir(store.root) == ["other"]
    assert os.listdir(outside) == ["a"]


def test_a_planted_pipe_does_not_hold_the_reader(store: FileArtifacts) -> None:
    artifact = save(store, "run/e/a")
    os.unlink(f"{store.root}/run/e/a")
    os.mkfifo(f"{store.root}/run/e/a")
    with pytest.raises(ArtifactError, match="not a plain file"):
        store.open(artifact)


def test_a_directory_under_the_name_is_told(store: FileArtifacts) -> None:
    os.makedirs(f"{store.root}/run/e/a")
    with pytest.raises(ArtifactError, match="could not be stored"):
        save(store, "run/e/a")
    with pytest.raises(ArtifactError, match="not a plain file"):
        store.open(Artifact(key="run/e/a", size=0, sha256=""))


# -- real processes ---------------------------------------------------------------------------------------------------

WRITER = """
import sys
from klassd.workflows.artifacts.file import FileArtifacts
with FileArtifacts(sys.argv[1]).writer("run/e/a") as writer:
    writer.write(b"x" * (3 << 20))
    print("half", flush=True)
    while True:
        writer.write(b"y" * (1 << 20))
        writer.flush()
        sys.stdin.read(1)
"""


@pytest.mark.fault("H1")
def test_a_writer_killed_in_the_middle_leaves_nothing_and_the_next_save_works(store: FileArtifacts) -> None:
    before = save(store, "run/e/kept", b"kept")
    with subprocess.Popen([sys.executable, "-c", WRITER, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"half\n"
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    with pytest.raises(ArtifactError, match="is not in"):
        store.open(Artifact(key="run/e/a", size=3 * MIB, sha256=""))
    with store.open(save(store, "run/e/a", b"whole")) as stream:
        assert stream.read() == b"whole"
    with store.open(before) as stream:
        assert stream.read() == b"kept"
    store.delete("run")
    assert files_of(store) == []  # what the killed writer left goes with its run


def save_without_end(root: str, pipe: int) -> None:
    class Source:
        left = 3

        def read(self, size: int) -> bytes:
            os.write(pipe, b".")
            self.left -= 1
            return digit * size if self.left >= 0 else b""

    for number in range(1_000_000):
        digit = b"%d" % (number % 10)
        FileArtifacts(root).save("run/e/a", Source())  # type: ignore[arg-type]


@pytest.mark.fault("H1")
def test_a_writer_killed_at_any_point_leaves_a_whole_artifact_or_none(store: FileArtifacts) -> None:
    for signs in range(1, 25):
        reading, writing = os.pipe()
        if not (child := os.fork()):
            save_without_end(store.root, writing)
        os.close(writing)
        for _ in range(signs):
            assert os.read(reading, 1)
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        os.close(reading)
        found = Path(store.root, "run/e/a")
        content = found.read_bytes() if found.exists() else b""
        assert content == content[:1] * (3 * MIB)
    assert found.exists()


STREAM = """
import json, re, sys
from klassd.workflows.artifacts.file import FileArtifacts

class Source:
    left = int(sys.argv[2])
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)

def peak():  # ru_maxrss would begin with that of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

store = FileArtifacts(sys.argv[1])
before = peak()
artifact = store.save("run/e/large", Source())
got = 0
with store.open(artifact) as stream:
    while block := stream.read(1 << 20):
        got += len(block)
print(json.dumps([artifact.size, got, peak() - before]))
"""


@pytest.mark.fault("H3")
def test_300_megabytes_are_streamed_in_a_few_of_memory(store: FileArtifacts) -> None:
    size = 300 * MIB
    told = subprocess.run([sys.executable, "-c", STREAM, store.root, str(size)], capture_output=True, check=True, timeout=120)
    saved, read, grown = json.loads(told.stdout)
    assert (saved, read) == (size, size)
    assert grown < 16 * MIB


LIGHT = """
import sys
before = set(sys.modules)
from klassd.workflows.artifacts.scope import ExecutionArtifacts
artifacts = ExecutionArtifacts(sys.argv[1], "run", "execution")
artifacts.read(artifacts.save("a", b"data"))
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_the_file_store_loads_no_heavy_module(store: FileArtifacts) -> None:
    told = subprocess.run([sys.executable, "-c", LIGHT, store.root], capture_output=True, check=True, text=True, timeout=60)
    heavy = {"asyncio", "importlib.metadata", "email", "pathlib", "tempfile", "shutil", "urllib", "random", "logging"}
    assert heavy.isdisjoint(told.stdout.split())

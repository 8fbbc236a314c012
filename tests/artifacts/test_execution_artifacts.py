import csv
import gc
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klassd.workflows.artifacts import Artifact
from klassd.workflows.artifacts.file import FileArtifacts
from klassd.workflows.artifacts.scope import ExecutionArtifacts, store_for
from klassd.workflows.errors import ArtifactError, ConfigurationError


class OnlySources:
    """A store of somebody else: it can be given a source and cannot be written to."""

    def __init__(self, path: Path) -> None:
        self._files = FileArtifacts(path)
        self.saves = 0

    def save(self, key: str, source: BinaryIO, media_type: str = "application/octet-stream") -> Artifact[Any]:
        self.saves += 1
        return self._files.save(key, source, media_type)

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        return self._files.open(artifact)

    def delete(self, prefix: str) -> None:
        self._files.delete(prefix)


@pytest.fixture(params=[FileArtifacts, OnlySources])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ExecutionArtifacts:
    return ExecutionArtifacts(request.param(tmp_path), "run", "run-0-0-1")


@pytest.mark.parametrize(
    ("data", "bytes_", "media_type"),
    [
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        (bytearray(b"ab"), b"ab", "application/octet-stream"),
        ("blåbær", "blåbær".encode(), "text/plain; charset=utf-8"),
    ],
)
def test_bytes_and_text_are_saved(artifacts: ExecutionArtifacts, data: Any, bytes_: bytes, media_type: str) -> None:
    artifact = artifacts.save("a", data)
    assert (artifacts.read(artifact), artifact.media_type) == (bytes_, media_type)


def test_an_open_file_is_saved_from_where_it_stands(artifacts: ExecutionArtifacts) -> None:
    file = io.BytesIO(b"skipped, kept")
    file.seek(9)
    assert artifacts.read(artifacts.save("a", file)) == b"kept"


def test_a_media_type_is_kept(artifacts: ExecutionArtifacts) -> None:
    assert artifacts.save("a.csv", "a;b", "text/csv").media_type == "text/csv"
    with artifacts.writer("b.csv", "text/csv") as writer:
        writer.write(b"a;b")
    assert writer.artifact.media_type == "text/csv"


def test_the_key_tells_run_and_execution(artifacts: ExecutionArtifacts) -> None:
    assert artifacts.save("../x", b"").key == "run/run-0-0-1/=2E.=2Fx"


@pytest.mark.fault("H7")
def test_two_executions_of_one_name_do_not_meet(tmp_path: Path) -> None:
    first, second = (ExecutionArtifacts(str(tmp_path), "run", f"run-0-0-{attempt}") for attempt in (1, 2))
    of_first, of_second = first.save("a", b"first"), second.save("a", b"second")
    assert (second.read(of_first), first.read(of_second)) == (b"first", b"second")


def test_anything_else_is_refused_by_type(artifacts: ExecutionArtifacts) -> None:
    with pytest.raises(TypeError, match="'a' is a dict: expected bytes, str or a file"):
        artifacts.save("a", {})  # type: ignore[arg-type]


def test_a_writer_streams_and_then_has_its_reference(artifacts: ExecutionArtifacts) -> None:
    with artifacts.writer("a") as writer:
        assert writer.write(b"one ") == 4
        writer.write(b"two")
        with pytest.raises(ArtifactError, match="not complete"):
            _ = writer.artifact
    assert artifacts.read(writer.artifact) == b"one two"
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"late")


def test_a_writer_whose_block_raises_stores_nothing(artifacts: ExecutionArtifacts, tmp_path: Path) -> None:
    with pytest.raises(KeyError), artifacts.writer("a") as writer:
        writer.write(b"half")
        raise KeyError
    with pytest.raises(ArtifactError, match="not complete"):
        _ = writer.artifact
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_writer_serves_what_wants_a_text_file(artifacts: ExecutionArtifacts) -> None:
    with artifacts.writer("a.csv") as writer:
        text = io.TextIOWrapper(writer, "utf-8", newline="")  # type: ignore[type-var]
        csv.writer(text).writerow(["blå", 1])
        text.flush()
        text.detach()
    assert artifacts.read(writer.artifact) == "blå,1\r\n".encode()


def test_a_text_file_that_closes_its_writer_loses_nothing(tmp_path: Path) -> None:
    artifacts = ExecutionArtifacts(str(tmp_path), "run", "e")
    with artifacts.writer("a") as writer:
        with io.TextIOWrapper(writer, "utf-8") as text:  # type: ignore[type-var]
            text.write("whole")
        del text
        gc.collect()
    assert artifacts.read(writer.artifact) == b"whole"


def test_a_stream_is_read_without_loading_it(artifacts: ExecutionArtifacts) -> None:
    artifact = artifacts.save("a", b"line 1\nline 2\n")
    with artifacts.open(artifact) as stream:
        assert list(stream) == [b"line 1\n", b"line 2\n"]


@settings(max_examples=25)  # each one writes files and flushes them
@given(st.dictionaries(st.text(min_size=1), st.binary(max_size=50), min_size=1, max_size=5))
def test_any_names_hold_their_own_bytes(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
    artifacts = ExecutionArtifacts(str(tmp_path_factory.mktemp("names")), "run", os.urandom(4).hex())
    saved = {name: artifacts.save(name, data) for name, data in contents.items()}
    assert {name: artifacts.read(artifact) for name, artifact in saved.items()} == contents


@pytest.mark.fault("H11")
def test_an_unknown_scheme_is_told_with_those_known() -> None:
    with pytest.raises(ConfigurationError, match=r"scheme 'ftp': expected one of .*file"):
        store_for("ftp://host/x")


def test_a_scheme_of_an_entry_point_is_made_from_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    point = metadata.EntryPoint("blob", "builtins:repr", "klassd.artifacts")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints([point]))
    assert store_for("blob://bucket") == repr("blob://bucket")


def test_a_plugin_that_is_broken_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    point = metadata.EntryPoint("blob", "io:NoSuchStore", "klassd.artifacts")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints([point]))
    with pytest.raises(ConfigurationError, match="io:NoSuchStore cannot be loaded: module 'io' has no attribute"):
        store_for("blob://bucket")


def test_a_scheme_whose_package_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    point = metadata.EntryPoint("blob", "no_such_package:Store", "klassd.artifacts")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints([point]))
    with pytest.raises(ConfigurationError, match=r"needs no_such_package.*klassd-workflows\[blob\]"):
        store_for("blob://bucket")

"""What an artifact store must pass, ours and anybody's.

    class TestMyStore(ArtifactStoreConformance):
        @pytest.fixture
        def store(self):
            return MyStore("my://bucket")

Each test uses a run id of its own, so one bucket can serve them all.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import msgspec
import pytest

from klassd.workflows.artifacts import Artifact, ArtifactStore
from klassd.workflows.artifacts.scope import ExecutionArtifacts
from klassd.workflows.errors import ArtifactError, ArtifactMissing

MIB = 1024 * 1024
MOST_PER_READ = 16 * MIB
STRAY_KEYS = (
    "", "/", ".", "..", "../x", "/etc/passwd", "run/../other/x", "run//x", "run/./x", "run/x/", "run/x\0y", "run/x\ny",
    "run/a b", "run/.hidden", "run/trailing.", "run/å", "run/" + "x" * 5000, "/".join("abcdefghi"),
)  # fmt: skip
NAMES = (
    "../x", "/etc/passwd", "a\0b", "CON", "nul.txt", "x" * 5000, "x" * 5001, "end.", "end", ".", "..", "a b", "a+b", "a%2Fb",
    "a/b", "?a=b", "#a", "é", "e\u0301", "\ud800", "=41", "A", "a",
)  # fmt: skip


class ArtifactStoreConformance:
    """Subclass it in a test module and give it the fixture ``store``."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        raise NotImplementedError("give the subclass a fixture `store` that returns the artifact store under test")

    @pytest.fixture
    def run(self, store: ArtifactStore) -> Iterator[str]:
        run = f"run-{os.urandom(8).hex()}"
        yield run
        store.delete(run)

    @pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])
    def test_what_is_saved_is_read_back(self, store: ArtifactStore, run: str, size: int) -> None:
        data = os.urandom(size)
        artifact = store.save(f"{run}/e/data", io.BytesIO(data))
        assert _read(store, artifact) == data

    def test_a_reference_tells_key_size_digest_and_media_type(self, store: ArtifactStore, run: str) -> None:
        artifact = store.save(f"{run}/e/a.txt", io.BytesIO(b"abc"), "text/plain")
        assert artifact == Artifact(
            key=f"{run}/e/a.txt", size=3, sha256=hashlib.sha256(b"abc").hexdigest(), media_type="text/plain"
        )

    def test_the_reference_alone_is_enough_to_read(self, store: ArtifactStore, run: str) -> None:
        encoded = msgspec.json.encode(store.save(f"{run}/e/a", io.BytesIO(b"abc")))
        assert _read(store, msgspec.json.decode(encoded, type=Artifact)) == b"abc"

    def test_a_source_is_read_in_portions(self, store: ArtifactStore, run: str) -> None:
        artifact = store.save(f"{run}/e/large", cast(BinaryIO, _Zeros(64 * MIB)))
        assert artifact.size == 64 * MIB

    def test_a_stream_gives_portions_and_lines(self, store: ArtifactStore, run: str) -> None:
        artifact = store.save(f"{run}/e/lines", io.BytesIO(b"one\ntwo\nthree"))
        with store.open(artifact) as stream:
            assert (stream.read(2), stream.readline(), stream.readlines()) == (b"on", b"e\n", [b"two\n", b"three"])

    def test_a_source_that_fails_leaves_nothing_and_the_next_save_works(self, store: ArtifactStore, run: str) -> None:
        with pytest.raises(_BrokenError):
            store.save(f"{run}/e/a", cast(BinaryIO, _Zeros(5 * MIB, then=_BrokenError())))
        with pytest.raises(ArtifactError):
            _read(store, _reference(f"{run}/e/a", b"\0" * 5 * MIB))
        assert _read(store, store.save(f"{run}/e/a", io.BytesIO(b"whole"))) == b"whole"

    def test_a_source_that_fails_leaves_what_was_saved_before(self, store: ArtifactStore, run: str) -> None:
        before = store.save(f"{run}/e/a", io.BytesIO(b"before"))
        with pytest.raises(_BrokenError):
            store.save(f"{run}/e/a", cast(BinaryIO, _Zeros(5 * MIB, then=_BrokenError())))
        assert _read(store, before) == b"before"

    def test_what_is_written_to_a_file_is_read_back(self, store: ArtifactStore, run: str) -> None:
        artifacts = ExecutionArtifacts(store, run, "e")
        with artifacts.writer("a", "text/csv") as writer:
            for _ in range(3):
                writer.write(b"x" * MIB)
            with pytest.raises(ArtifactError, match="not complete"):
                _ = writer.artifact
        assert (writer.artifact.size, writer.artifact.media_type) == (3 * MIB, "text/csv")
        assert artifacts.read(writer.artifact) == b"x" * 3 * MIB

    @pytest.mark.parametrize("size", [1, 20 * MIB])
    def test_a_file_whose_block_raises_leaves_nothing(self, store: ArtifactStore, run: str, size: int) -> None:
        artifacts = ExecutionArtifacts(store, run, "e")
        with pytest.raises(_BrokenError), artifacts.writer("a") as writer:
            writer.write(bytes(size))
            raise _BrokenError
        with pytest.raises(ArtifactError):
            store.open(_reference(f"{run}/e/a", bytes(size)))

    def test_any_names_hold_their_own_bytes(self, store: ArtifactStore, run: str) -> None:
        artifacts = ExecutionArtifacts(store, run, "e")
        saved = [artifacts.save(name, str(number)) for number, name in enumerate(NAMES)]
        assert [artifacts.read(artifact) for artifact in saved] == [str(number).encode() for number in range(len(NAMES))]

    def test_two_streams_of_one_artifact_do_not_disturb_each_other(self, store: ArtifactStore, run: str) -> None:
        artifact = store.save(f"{run}/e/a", io.BytesIO(b"abc"))
        with store.open(artifact) as one, store.open(artifact) as other:
            assert (one.read(1), other.read(2), one.read(), other.read()) == (b"a", b"ab", b"bc", b"c")

    def test_a_store_that_can_be_used_says_so(self, store: ArtifactStore) -> None:
        check = getattr(store, "check", None)
        assert check is None or check() is None

    def test_a_text_source_is_refused(self, store: ArtifactStore, run: str) -> None:
        with pytest.raises(TypeError):
            store.save(f"{run}/e/a", cast(BinaryIO, io.StringIO("text")))

    def test_saving_again_replaces_and_the_older_reference_fails(self, store: ArtifactStore, run: str) -> None:
        older = store.save(f"{run}/e/a", io.BytesIO(b"older"))
        newer = store.save(f"{run}/e/a", io.BytesIO(b"newer"))
        assert _read(store, newer) == b"newer"
        with pytest.raises(ArtifactError, match=older.sha256):
            _read(store, older)

    def test_a_missing_artifact_fails_at_once_and_by_name(self, store: ArtifactStore, run: str) -> None:
        with pytest.raises(ArtifactMissing, match=f"{run}/e/none"):
            store.open(_reference(f"{run}/e/none", b"abc"))

    @pytest.mark.parametrize("other", [b"abcd", b"ab", b"", b"abx"], ids=["longer", "truncated", "emptied", "flipped"])
    def test_other_bytes_than_the_reference_says_fail(self, store: ArtifactStore, run: str, other: bytes) -> None:
        store.save(f"{run}/e/a", io.BytesIO(other))
        with pytest.raises(ArtifactError, match=f"{run}/e/a"):
            _read(store, _reference(f"{run}/e/a", b"abc"))

    def test_damage_is_found_by_a_reader_that_stops_at_the_size(self, store: ArtifactStore, run: str) -> None:
        store.save(f"{run}/e/a", io.BytesIO(b"abx"))
        with pytest.raises(ArtifactError), store.open(_reference(f"{run}/e/a", b"abc")) as stream:
            stream.read(3)

    def test_delete_takes_a_run_and_nothing_beside_it(self, store: ArtifactStore, run: str) -> None:
        gone = store.save(f"{run}/e1/a", io.BytesIO(b"gone"))
        kept = store.save(f"{run}0/e1/a", io.BytesIO(b"kept"))
        store.delete(run)
        with pytest.raises(ArtifactError):
            store.open(gone)
        assert _read(store, kept) == b"kept"
        store.delete(f"{run}0")

    def test_delete_takes_an_execution_and_nothing_beside_it(self, store: ArtifactStore, run: str) -> None:
        gone = store.save(f"{run}/e1/a", io.BytesIO(b"gone"))
        kept = store.save(f"{run}/e10/a", io.BytesIO(b"kept"))
        store.delete(f"{run}/e1")
        with pytest.raises(ArtifactError):
            store.open(gone)
        assert _read(store, kept) == b"kept"

    def test_delete_is_idempotent(self, store: ArtifactStore, run: str) -> None:
        store.save(f"{run}/e/a", io.BytesIO(b"a"))
        for _ in range(2):
            store.delete(run)

    @pytest.mark.parametrize("key", STRAY_KEYS, ids=lambda key: repr(key[:12]))
    def test_a_key_that_could_lead_elsewhere_is_refused(self, store: ArtifactStore, key: str) -> None:
        with pytest.raises(ArtifactError):
            store.save(key, io.BytesIO(b"x"))
        with pytest.raises(ArtifactError):
            store.open(_reference(key, b"x"))
        with pytest.raises(ArtifactError):
            store.delete(key)

    def test_two_writers_of_one_name_never_mix(self, store: ArtifactStore, run: str) -> None:
        saved: list[Artifact[Any]] = []
        sources = [bytes([digit]) * 3 * MIB for digit in range(4)]
        threads = [
            threading.Thread(target=lambda data=data: saved.append(store.save(f"{run}/e/a", io.BytesIO(data))))
            for data in sources
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        whole = [artifact for artifact in saved if _is_whole(store, artifact)]
        assert (len(saved), len(whole)) == (4, 1)


class _BrokenError(Exception):
    """Raised by a source."""


class _Zeros(io.RawIOBase):
    """So many zeros, never all at once; ``then`` is raised behind them."""

    def __init__(self, size: int, then: Exception | None = None) -> None:
        self._left = size
        self._then = then

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None and 0 < size <= MOST_PER_READ, f"read({size}): a store reads in portions of at most 16 MiB"
        if not self._left and self._then:
            raise self._then
        size = min(size, self._left)
        self._left -= size
        return bytes(size)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _reference(key: str, data: bytes) -> Artifact[Any]:
    return Artifact(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _read(store: ArtifactStore, artifact: Artifact[Any]) -> bytes:
    with store.open(artifact) as stream:
        return stream.read()


def _is_whole(store: ArtifactStore, artifact: Artifact[Any]) -> bool:
    try:
        return len(_read(store, artifact)) == artifact.size
    except ArtifactError:
        return False

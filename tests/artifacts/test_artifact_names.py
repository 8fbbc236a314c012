import hashlib
import io
import os
import re
import string
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klassd.workflows.artifacts.file import FileArtifacts
from klassd.workflows.artifacts.names import MAX_SEGMENT, segment_of, split_key
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.errors import ArtifactError

any_char = st.characters(codec=None, exclude_categories=())
any_name = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=300)
# Names that have much in common: with their own encodings, with their twins in case and in Unicode.
parts = st.sampled_from(
    ["a", "A", "é", "e\u0301", "ſ", "ß", "SS", "K", "\u212a", "=", "=41", "=h", ".", "/", "con", "x" * 60, "\ud800"]
)
plain = st.lists(st.one_of(parts, parts, any_char), min_size=1, max_size=5).map("".join)
twins = (str, segment_of, str.lower, str.upper, str.swapcase, lambda name: unicodedata.normalize("NFKC", name))
alike = st.lists(st.builds(lambda name, twin: twin(name), plain, st.sampled_from(twins)), min_size=2, max_size=6, unique=True)
safe = string.ascii_letters + string.digits + "._-"


def decoded(segment: str) -> str:
    bytes_ = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), segment.encode("ascii"))
    return bytes_.decode("utf-8", "surrogatepass")


@pytest.mark.fault("H4")
@given(any_name)
@example("../x")
@example("/etc/passwd")
@example("a\0b")
@example("CON")
@example("nul.txt")
@example("x" * 5000)
@example("trailing.")
@example(".")
@example("..")
@example("\ud800")
def test_every_name_becomes_one_segment_of_a_key(name: str) -> None:
    assert split_key(f"run/execution/{segment_of(name)}") == ["run", "execution", segment_of(name)]


@given(any_name)
@example("é")
@example("e\u0301")
@example("=41")
@example("A")
def test_a_short_segment_tells_its_name_exactly(name: str) -> None:
    segment = segment_of(name)
    assert "=h" in segment or decoded(segment) == name


@pytest.mark.fault("H4")
@settings(max_examples=300)
@given(alike)
@example(["A", "a"])
@example(["=41", "A", "=3D41"])
@example(["e\u0301", "é", "e=CC=81"])
@example(["x" * 129, f"{'x' * 60}=h{hashlib.sha256(b'x' * 129).hexdigest()}"])
def test_two_names_never_meet_not_even_where_case_makes_no_difference(names: list[str]) -> None:
    assert len({segment_of(name).lower() for name in names}) == len(names)


@pytest.mark.fault("H4")
@settings(max_examples=50, deadline=None)
@given(alike)
def test_what_is_saved_under_names_that_are_alike_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("artifacts")
    store = FileArtifacts(root)
    saved = {name: store.save(f"run/execution/{segment_of(name)}", io.BytesIO(repr(name).encode())) for name in names}
    for name, artifact in saved.items():
        with store.open(artifact) as stream:
            assert stream.read() == repr(name).encode()
    files = [file for _, _, files in os.walk(root) for file in files]
    assert sorted(files) == sorted(map(segment_of, names)), "nothing lies anywhere else"


@pytest.mark.fault("H4")
@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/some/where", "gs://bucket/some/where"])
@given(names=alike)
def test_an_object_is_named_as_its_key_and_needs_no_escapes_in_a_url(url: str, names: list[str]) -> None:
    store: Any = store_for(url)
    prefix = "some/where/" if "some" in url else ""
    for key in (f"run/execution/{segment_of(name)}" for name in names):
        assert store._name(key) == prefix + key == quote(prefix + key, safe="/=")


@given(st.text("ab/=.é", min_size=MAX_SEGMENT - 3, max_size=MAX_SEGMENT + 3))
def test_names_around_the_limit_stay_within_it(name: str) -> None:
    assert len(segment_of(name)) <= MAX_SEGMENT


@pytest.mark.fault("H4")
def test_long_names_that_begin_alike_stay_apart() -> None:
    assert segment_of("x" * 5000) != segment_of("x" * 5001)


@pytest.mark.parametrize("name", ["report.csv", "a-b_c.tar.gz", "0", "console.log", "x" * MAX_SEGMENT])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert segment_of(name) == name


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("../x", "=2E.=2Fx"),
        ("..", "=2E=2E"),
        (".", "=2E"),
        (".hidden", "=2Ehidden"),
        ("end.", "end=2E"),
        ("CON", "=43=4F=4E"),
        ("con", "=63on"),
        ("lpt1.txt", "=6Cpt1.txt"),
        ("a=b", "a=3Db"),
        ("my report.csv", "my=20report.csv"),
        ("é", "=C3=A9"),
    ],
)
def test_other_characters_are_written_per_byte(name: str, segment: str) -> None:
    assert segment_of(name) == segment


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ArtifactError, match="name is empty"):
        segment_of("")


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=200))
@pytest.mark.fault("H4")
def test_a_key_is_taken_only_when_every_segment_is_plain(key: str) -> None:
    plain = all(
        0 < len(part) <= MAX_SEGMENT and set(part) <= set(f"{safe}=") and part[0] != "." and part[-1] != "."
        for part in key.split("/")
    )
    if plain and key.count("/") < 8:
        assert "/".join(split_key(key)) == key
    else:
        with pytest.raises(ArtifactError, match="is refused"):
            split_key(key)


def test_a_refused_key_of_any_length_makes_a_short_message() -> None:
    with pytest.raises(ArtifactError) as caught:
        split_key("x" * 100_000)
    assert len(str(caught.value)) < 600

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from klassd.workflows.artifacts.names import MAX_SEGMENT, segment_of, split_key
from klassd.workflows.errors import ArtifactError

any_name = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=300)
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
@pytest.mark.fault("H4")
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
@given(any_name, any_name)
@pytest.mark.fault("H4")
def test_two_names_never_meet(one: str, other: str) -> None:
    assert one == other or segment_of(one) != segment_of(other)


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
        ("CON", "=43ON"),
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

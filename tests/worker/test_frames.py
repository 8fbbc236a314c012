"""Frames: any bytes, any cuts, never a frame from foreign bytes, and a round trip."""

from __future__ import annotations

import itertools
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.frames import MAX_BODY, MAX_FRAME, Decoder, Frame, Plain, dumps, encode

NONCE = "00112233445566778899aabbccddeeff"
OTHER = "ff" * 16

bodies = st.dictionaries(st.text(max_size=5), st.text(max_size=50), max_size=3).map(dumps)
kinds = st.sampled_from(["hello", "start", "out", "log", "prog", "ready", "beat", "val", "end"])
frames = st.builds(Frame, st.integers(0, 1 << 40), kinds, st.integers(0, 1 << 60), bodies)
noise = st.one_of(
    st.binary(max_size=60),
    st.just(b"\x1e"),
    st.builds(lambda f: encode(OTHER, *f), frames),
    st.builds(lambda f, n: encode(OTHER, *f)[:n], frames, st.integers(0, 80)),
).map(lambda data: data.replace(b"\n", b"") + b"\n")


def fed(data: bytes, cuts: list[int]) -> list[Frame | Plain]:
    decoder = Decoder(NONCE)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    given_back = [each for a, b in itertools.pairwise(places) for each in decoder.feed(data[a:b])]
    given_back += decoder.finish()
    assert decoder.consumed == len(data)
    return given_back


cuts = st.lists(st.integers(0, 1000), max_size=8)


@given(parts=st.lists(st.one_of(frames, noise), max_size=6), cuts=cuts)
def test_frames_and_foreign_lines_come_out_as_they_went_in_whatever_the_cuts(
    parts: list[Frame | bytes], cuts: list[int]
) -> None:
    data = b"".join(encode(NONCE, *part) if isinstance(part, Frame) else part for part in parts)
    expected = [part if isinstance(part, Frame) else Plain(part[:-1]) for part in parts]
    assert fed(data, cuts) == expected


@pytest.mark.fault("D11")
@given(data=st.binary(max_size=400), cuts=cuts)
def test_foreign_bytes_are_never_a_frame_and_none_of_them_is_lost(data: bytes, cuts: list[int]) -> None:
    given_back = fed(data, cuts)
    assert all(isinstance(each, Plain) for each in given_back)
    assert b"\n".join(each.text for each in given_back if isinstance(each, Plain)) == data.removesuffix(b"\n")


@given(frame=frames, at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_frame_with_one_byte_changed_is_the_same_frame_or_none(frame: Frame, at: int, byte: int) -> None:
    data = bytearray(encode(NONCE, *frame))
    data[at % (len(data) - 1)] = byte
    for each in fed(bytes(data), []):
        if isinstance(each, Frame):
            assert each.body == frame.body
            assert zlib.crc32(each.body) == zlib.crc32(frame.body)


@given(size=st.integers(0, 5 * MAX_FRAME), cuts=st.lists(st.integers(0, 100_000), max_size=5))
def test_a_line_longer_than_a_frame_is_given_in_pieces_and_never_held(size: int, cuts: list[int]) -> None:
    decoder = Decoder(NONCE)
    for _ in range(3):
        decoder.feed(b"x" * size)
        assert len(decoder._rest) <= MAX_FRAME
    given_back = fed(b"x" * size + b"\n", cuts)
    assert b"".join(each.text for each in given_back if isinstance(each, Plain)) == b"x" * size


def test_the_largest_frame_fits_a_line_of_a_container_runtime() -> None:
    body = json.dumps("x" * (MAX_BODY - 2)).encode()
    line = encode(NONCE, 10**20 - 1, "hello", 10**20 - 1, body)
    assert len(line) <= MAX_FRAME
    assert fed(line, [100]) == [Frame(10**20 - 1, "hello", 10**20 - 1, body)]


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode(NONCE, 0, "out", 0, b"x" * (MAX_BODY + 1))

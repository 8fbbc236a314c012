"""Any bytes, in any portions, come out as the lines they were."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klassd.workflows.frames import MAX_BODY, MAX_LINE
from klassd.workflows.model.logs import LogLine, lines_of
from klassd.workflows.worker.console import PIECE, Console

PATIENCE = 0.1


class Said:
    """What a console emits, and its lines."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.console = Console(self._emit, limit)

    def _emit(self, kind: str, body: bytes) -> None:
        assert body.isascii() and len(body) <= MAX_BODY
        self.frames.append((kind, body))

    def log(self, level: int, logger: str, text: str) -> None:
        head = f'"v":{level},' + (f'"g":"{logger}",' if logger else "")
        text = text.removesuffix("\n")
        ended = text + "\n" if text.endswith("\n") else text
        self.console.record(text.count("\n") + 1, f'{head}"x":{json.dumps(ended)}}}'.encode(), False)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.frames]

    def lines(self) -> list[LogLine]:
        self.console.close()
        chunk = b"[" + b",".join(b"[1000000,%b]" % body for _, body in self.frames) + b"]"
        return list(lines_of([chunk]))

    def texts(self, stream: str = "stdout") -> list[str]:
        return [line.text for line in self.lines() if line.stream == stream]


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def as_lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "backslashreplace")
    return text.removesuffix("\n").split("\n") if text else []


raw = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from([b"\n", b"a", b"\xc3\xa6", b"\xf0\x9f\x98\x80", b"\x00", b"\r", b"\xff", b"\xe2\x80\xa8"])).map(
        b"".join
    ),
)
units = st.sampled_from([b"x", b"\x01", b"\xc3\xa6", b"\xf0\x9f\x98\x80", b"ab\n", b"\n", b"\xff", b"x" * 5000 + b"\n"])


@pytest.mark.fault("D10")
@given(data=raw, cuts=st.lists(st.integers(0, 300), max_size=6), shown=st.booleans())
@example(data=b"\xe2", cuts=[], shown=True)
@example(data=b"\xe2\x80\n\xa8", cuts=[1, 2], shown=True)
def test_any_bytes_in_any_portions_come_out_as_the_lines_they_were(data: bytes, cuts: list[int], shown: bool) -> None:
    said = Said()
    for portion in portions(data, cuts):
        said.console.raw(1, portion, 0.0)
        if shown:
            said.console.give_out(PATIENCE, PATIENCE)
    assert said.texts() == as_lines(data)
    assert said.console.lines == len(as_lines(data))


@given(unit=units, count=st.integers(1, 40_000), tail=raw, cuts=st.lists(st.integers(0, 200_000), max_size=4))
@settings(max_examples=60)
def test_long_lines_come_out_whole_up_to_the_longest_line(unit: bytes, count: int, tail: bytes, cuts: list[int]) -> None:
    data = unit * min(count, 1_000_000 // len(unit)) + tail
    said = Said()
    for portion in portions(data, cuts):
        said.console.raw(1, portion, 0.0)
    expected = as_lines(data)
    if all(len(line) * 4 <= MAX_LINE for line in expected):
        assert said.texts() == expected
    else:
        assert "".join(said.texts()) == "".join(expected)
    assert [line.number for line in said.lines()] == list(range(1, said.console.lines + 1))


@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["out", "err", "log", "tick"]), st.text(alphabet="ab\n\u2028\U0001f600", max_size=8)),
        max_size=30,
    )
)
def test_each_stream_keeps_its_lines_and_every_number_is_given_once(pieces: list[tuple[str, str]]) -> None:
    said = Said()
    written = {"out": "", "err": ""}
    logged: list[str] = []
    for kind, text in pieces:
        if kind == "tick":
            said.console.give_out(PATIENCE, PATIENCE)
        elif kind == "log":
            said.log(20, "", text)
            logged += text.removesuffix("\n").split("\n")
        else:
            said.console.raw(1 if kind == "out" else 2, text.encode(), 0.0)
            written[kind] += text
    lines = said.lines()
    assert [line.text for line in lines if line.stream == "stdout"] == as_lines(written["out"].encode())
    assert [line.text for line in lines if line.stream == "stderr"] == as_lines(written["err"].encode())
    assert [line.text for line in lines if line.stream == "log"] == logged
    assert sorted(line.number for line in lines) == list(range(1, said.console.lines + 1))


def test_a_line_of_exactly_the_longest_length_is_one_line_and_a_byte_more_makes_two() -> None:
    exact, more = Said(), Said()
    exact.console.raw(1, b"x" * MAX_LINE + b"\n", 0.0)
    more.console.raw(1, b"x" * (MAX_LINE + 1) + b"\n", 0.0)
    assert [len(text) for text in exact.texts()] == [MAX_LINE]
    assert [len(text) for text in more.texts()] == [MAX_LINE, 1]


def test_many_short_lines_share_a_frame() -> None:
    said = Said()
    said.console.raw(1, b"a line of output\n" * 1000, 0.0)
    assert len(said.frames) == 2  # of 12 KiB
    assert said.records[1]["l"] == said.records[0]["n"] + 1


def test_an_unfinished_line_is_shown_when_it_has_waited_and_goes_on_under_its_number() -> None:
    said = Said()
    said.console.raw(1, b"half a li", 5.0)
    said.console.give_out(5.0 + PATIENCE / 2, PATIENCE)
    assert said.frames == []
    assert said.console.unfinished_since == 5.0
    said.console.give_out(5.0 + PATIENCE, PATIENCE)
    assert said.records == [{"l": 1, "n": 0, "s": 1, "x": "half a li", "m": True}]
    assert said.console.unfinished_since is None
    said.console.raw(2, b"other\n", 6.0)
    said.console.raw(1, b"ne\nnext\n", 6.0)
    assert said.records[1:] == [
        {"l": 2, "n": 1, "s": 2, "x": "other\n"},
        {"l": 1, "n": 1, "s": 1, "x": "ne\n"},
        {"l": 3, "n": 1, "s": 1, "x": "next\n"},
    ]


def test_half_a_character_waits_for_its_other_half_without_a_timer() -> None:
    said = Said()
    said.console.raw(1, "é".encode()[:1], 0.0)
    assert said.console.unfinished_since is None
    said.console.give_out(99.0, PATIENCE)
    assert said.frames == []
    said.console.raw(1, "é".encode()[1:] + b"\n", 99.0)
    assert said.records == [{"l": 1, "n": 1, "s": 1, "x": "é\n"}]


def test_a_record_has_level_and_logger_and_comes_after_what_was_printed_before() -> None:
    said = Said()
    said.console.raw(1, b"no newline", 0.0)
    said.log(30, "my.logger", "careful\nnow")
    assert [kind for kind, _ in said.frames] == ["out", "log"]
    assert said.records[1] == {"l": 2, "n": 2, "v": 30, "g": "my.logger", "x": "careful\nnow"}


def test_the_limit_leaves_out_the_rest_and_counts_it_at_the_end() -> None:
    said = Said(limit=10)
    said.console.raw(1, b"12345\n", 0.0)
    said.console.raw(2, b"abcdefgh\n", 0.0)
    said.log(20, "", "not shown")
    lines = said.lines()
    assert [line.text for line in lines] == ["12345", "abcd", ""]
    assert lines[-1].cut_bytes == 5 + len('"v":20,"x":"not shown"}')
    assert lines[-1].number == 3 and said.console.lines == 2


@given(sizes=st.lists(st.integers(0, 50), max_size=20), limit=st.integers(0, 200))
def test_the_limit_is_the_same_in_whatever_order_streams_are_read(sizes: list[int], limit: int) -> None:
    said = Said(limit=limit)
    for number, size in enumerate(sizes):
        said.console.raw(1 + number % 2, b"x" * size, 0.0)
    assert said.console.cut == max(0, sum(sizes) - limit)


def test_a_record_in_pieces_is_one_line_whatever_comes_in_between() -> None:
    said = Said()
    said.console.record(1, b'"v":20,"x":"one\\ntw","m":true}', True)
    said.console.raw(1, b"printed\n", 0.0)
    said.console.record(1, b'"v":20,"x":"o"}', False)
    assert [(line.number, line.text) for line in sorted(said.lines(), key=lambda line: line.number)] == [
        (1, "one"),
        (2, "two"),
        (3, "printed"),
    ]


def test_memory_is_bounded_however_long_a_line_is() -> None:
    said = Said()
    for _ in range(100):
        said.console.raw(1, b"y" * 65536, 0.0)
        said.frames.clear()
        assert all(len(stream.rest) < PIECE for stream in said.console._streams)

"""Consoles of images: plain lines, whoever reads them, however often the reading breaks off."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.executors.kubernetes.plain_console import PlainConsole
from klassd.workflows.frames import encode

LINES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.text("ab \x1e{}", max_size=4)), max_size=12)


def console(lines: list[tuple[int, int, str]]) -> list[bytes]:
    """As the API gives it: in the order of time, several lines of one moment perhaps."""
    return [
        f"2026-01-02T03:04:{at:02}.{part}Z {text}\n".encode() for at, part, text in sorted(lines, key=lambda each: each[:2])
    ]


def read(reader: PlainConsole, data: bytes) -> list[tuple[int, str, str]]:
    found = [*reader.feed(data), *reader.plain()]
    return [(frame.seq, str(msgspec.json.decode(frame.body)["x"]), cursor) for frame, cursor in found]


@given(LINES, st.integers(0, 12))
def test_whoever_reads_on_hears_every_line_once(lines: list[tuple[int, int, str]], heard: int) -> None:
    portions = console(lines)
    whole = read(PlainConsole("", 0, 1), b"".join(portions))
    assert [text for _, text, _ in whole] == [portion.partition(b" ")[2].decode() for portion in portions]
    before = whole[:heard]
    cursor = before[-1][2] if before else ""
    since = cursor[:19].encode()  # the API knows seconds only
    again = b"".join(portion for portion in portions if portion[:19] >= since)
    assert read(PlainConsole(cursor, len(before), len(before) + 1), again) == whole[heard:]


@given(LINES, st.integers(1, 5))
def test_a_console_opened_again_by_the_same_reader_is_not_repeated(lines: list[tuple[int, int, str]], size: int) -> None:
    reader, data = PlainConsole("", 0, 1), b"".join(console(lines))
    first = [frame for frame, _ in reader.feed(data[: len(data) // size])]
    reader.reopen()
    frames = [*first, *(frame for frame, _ in reader.feed(data)), *(frame for frame, _ in reader.plain())]
    assert all(after.seq == before.seq + 1 for before, after in pairwise(frames)) and len(frames) == len(lines)


def test_nothing_in_it_is_a_frame_and_a_word_of_the_kubelet_is_no_line() -> None:
    frame = encode("-", 0, "end", 0, b'{"result":"failure"}')
    data = b"unable to retrieve container logs\n2026-01-02T03:04:05.1Z " + frame + b"2026-01-02T03:04:05.2Z last"
    assert [text for _, text, _ in read(PlainConsole("", 0, 1), data)] == [frame.decode(), "last\n"]


@given(st.sampled_from([16 * 1024, 8 * 1024]), st.integers(0, 3), st.integers(0, 20))
def test_a_long_line_is_whole_whether_the_kubelet_puts_a_time_before_every_part_of_it_or_not(
    size: int, parts: int, rest: int
) -> None:
    line = "x" * (size * parts + rest)
    for time in ("2026-01-02T03:04:05.25Z ", ""):
        pieces = [line[at : at + size] for at in range(0, len(line), size)] or [""]
        data = f"2026-01-02T03:04:05.2Z {time.join(pieces)}\n".encode()
        found = read(PlainConsole("", 0, 1), data)
        assert "".join(text for _, text, _ in found) == line + "\n"

"""Consoles of pods, cut anywhere and read again from any second."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.executors.kubernetes.console import Console
from klassd.workflows.executors.telling import Telling
from klassd.workflows.frames import Frame, dumps, encode
from klassd.workflows.model.execution import Output
from klassd.workflows.stores.common import chunk_end

NONCE = "0123456789abcdef" * 2
OTHER = "f" * 32


def stamp(second: int) -> str:
    return f"2026-01-02T03:04:{second:02d}.000000001Z"


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Lines with their times: frames in order, and noise of others between them."""
    lines: list[tuple[str, bytes]] = []
    second = 0
    for seq in range(draw(st.integers(1, 12))):
        second += draw(st.integers(0, 2))
        if draw(st.booleans()):
            noise = [b"plain", b"", b"\xff\xfe", encode(OTHER, seq, "out", 1, b"{}").rstrip(b"\n"), b"\x1e" + NONCE.encode()]
            lines.append((stamp(second), draw(st.sampled_from(noise))))
        body = b'{"l":%d,"n":1,"x":"%s"}' % (seq + 1, b"x" * draw(st.integers(0, 40)))
        lines.append((stamp(second), encode(NONCE, seq, "out", seq, body).rstrip(b"\n")))
    return lines


def text(lines: list[tuple[str, bytes]]) -> bytes:
    return b"".join(time.encode() + b" " + line + b"\n" for time, line in lines)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def frames_of(lines: list[tuple[str, bytes]]) -> int:
    return sum(line.startswith(b"\x1e" + NONCE.encode() + b" ") for _, line in lines)


@pytest.mark.fault("E9")
@given(logs(), st.lists(st.integers(0, 5000), max_size=8))
def test_a_console_in_whatever_pieces_gives_each_frame_once(lines: list[tuple[str, bytes]], cuts: list[int]) -> None:
    console = Console(NONCE, 0)
    heard = [frame.seq for piece in pieces(text(lines), cuts) for frame, _ in console.feed(piece)]
    assert heard == list(range(frames_of(lines)))


@pytest.mark.fault("E9", "E11")
@given(logs(), st.integers(0, 5000))
def test_a_stream_that_breaks_anywhere_goes_on_without_loss_or_repeat(lines: list[tuple[str, bytes]], cut: int) -> None:
    """As the follower does: what broke off is read again from the time of the last frame, to the second."""
    whole, console, heard, since = text(lines), Console(NONCE, 0), [], ""
    for frame, at in console.feed(whole[: cut % (len(whole) + 1)]):
        heard.append(frame.seq)
        since = at
    console.reopen()
    again = [line for line in lines if not since or line[0][:19] >= since[:19]]
    heard += [frame.seq for frame, _ in console.feed(text(again))]
    assert heard == list(range(frames_of(lines)))


@pytest.mark.fault("E9")
@given(logs(), st.data())
def test_another_scheduler_goes_on_at_any_frame(lines: list[tuple[str, bytes]], data: st.DataObject) -> None:
    known = data.draw(st.integers(0, frames_of(lines)))
    heard = [frame.seq for frame, _ in Console(NONCE, known).feed(text(lines))]
    assert heard == list(range(known, frames_of(lines)))


def test_a_console_without_a_single_frame_is_shown_as_it_stands() -> None:
    console = Console(NONCE, 0)
    assert list(console.feed(text([(stamp(1), b"exec: python: not found"), (stamp(2), b"\xff")]))) == []
    shown = console.plain()
    assert [frame.body for frame, _ in shown] == [
        b'{"l":1,"n":1,"s":1,"x":"exec: python: not found\\n"}',
        b'{"l":2,"n":1,"s":1,"x":"\\\\xff\\n"}',
    ]
    assert shown[0][0].t_us == 1767323041000000


def test_what_a_worker_printed_around_its_frames_is_not_shown_twice() -> None:
    console = Console(NONCE, 0)
    list(console.feed(text([(stamp(1), b"noise"), (stamp(1), encode(NONCE, 0, "hello", 1, b"{}").rstrip(b"\n"))])))
    assert console.plain() == []


@pytest.mark.fault("A6", "E9", "E10")
def test_a_chunk_is_gone_on_with_at_the_frame_behind_its_last_one_whatever_stood_between() -> None:
    def out(seq: int, line: int) -> Frame:
        return Frame(seq, "out", 1, dumps({"l": line, "n": 1, "s": 1, "x": "a\n"}))

    telling = Telling("", 0, 1)
    gap = out(6, 9)  # lines 3 to 8 are lost
    for frame in (
        out(2, 1),
        Frame(3, "beat", 1, b"{}"),
        Frame(4, "beat", 1, b"{}"),
        out(5, 2),
        gap,
        Frame(7, "beat", 1, b"{}"),
    ):
        telling.take(frame, f"at {frame.seq}")
    (said,) = (each for each in telling.batch() if isinstance(each, Output))
    assert chunk_end(said.chunk) == ("at 6", 7, 10)

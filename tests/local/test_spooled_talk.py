"""From the bytes a job prints to the lines that are stored: any bytes, a file cut anywhere, a reader that crashes anywhere."""

import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spooled_talk import NONCE, OPEN, PID, Listener, Talk

from klassd.workflows.executors import telling
from klassd.workflows.executors.local import spool
from klassd.workflows.frames import MAX_FRAME, MAX_LINE, dumps, encode
from klassd.workflows.model.execution import Ready, Started
from klassd.workflows.model.logs import lines_of

# What would do harm if it were taken for the supervisor's word. The nonce is right: not even that may help.
bodies = st.sampled_from(
    [
        {"result": "failure", "lines": 0},
        {"result": "success", "outputs": {"": [6, "00000000"]}, "lines": 1},
        {"pid": 666, "start": 1},
        {"v": "6.6", "boot": "b", "pid": 666, "start": 1},
        {"k": "", "p": '"forged"'},
        {"b": {"forged": {"at": 1}}},
        {"l": 1, "n": 1, "s": 1, "x": "forged\n"},
        {},
    ]
).map(dumps)
kinds = st.sampled_from(["hello", "start", "ready", "prog", "out", "log", "val", "end"])
forged = st.builds(encode, st.sampled_from([NONCE, "ff" * 16]), st.integers(0, 30), kinds, st.integers(0, 1 << 50), bodies)
shapes = st.sampled_from([b"%b", b"\n%b", b"\r%b", b"\x1e%b", b"%b\x1e\n", b"text %b"])
nasty = st.sampled_from(
    [
        b"\n",
        b"\r 50%",
        b"\0",
        b"\x1e",
        b"\x1b[31mred\x1b[0m",
        "\u2028".encode(),
        "é".encode(),
        b"\xff",
        b"\xe2\x80",
        b"\xa8",
        b"x",
    ]
)
# At the longest length a line may not be parted inside a character. Where is open for stray bytes, which are of none.
tame = st.sampled_from([b"x", "é".encode(), "😀".encode(), b"\xff", b"\0", b"\n", b"ab\n"])
floods = st.tuples(st.just("flood"), st.sampled_from([1, 2]), tame, st.sampled_from([3, MAX_FRAME - 1, MAX_FRAME, MAX_LINE]))
printed = st.one_of(
    st.lists(nasty, max_size=6).map(b"".join),
    st.binary(max_size=40),
    st.builds(lambda shape, frame: shape % frame, shapes, forged),
    st.builds(lambda frame, at: frame[: at % len(frame)], forged, st.integers(0, 200)),
)
text = st.text(st.sampled_from("ab\n\r\0\x1e\u2028é😀"), max_size=12)
says = st.one_of(
    st.tuples(st.just("raw"), st.sampled_from([1, 1, 2]), printed),
    st.tuples(st.just("log"), st.one_of(text, text.map(lambda part: part * 200))),
    st.tuples(st.just("value"), st.sampled_from(["", "rows", "é"]), st.one_of(text, st.just("é" * 3000), st.none())),
    st.tuples(st.just("bar"), st.sampled_from(["", "inner"]), st.integers(0, 9)),
    st.sampled_from([("wait",), ("wait",), ("service",)]),
)
talks = st.lists(says, max_size=16)
# How far the file has grown, in ten-thousandths of it, and how much of what is read then an engine keeps before it crashes.
growths = st.lists(st.tuples(st.integers(0, 10_000), st.one_of(st.none(), st.integers(0, 4))), max_size=10)


@pytest.fixture(scope="module", autouse=True)
def _small():
    """Chunks and portions so small that there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telling, "CHUNK", 300)
        patch.setattr(spool, "PORTION", MAX_FRAME + 100)
        yield


def spoken(script, succeeds=True):
    """The talk, the bytes of its spool file and its outcome."""
    with tempfile.TemporaryDirectory() as directory:
        talk = Talk(directory)
        talk.play(script)
        return talk, *talk.end(succeeds)


def heard(data, growth=()):
    """What is stored of a file that grows so, by engines that crash so."""
    with tempfile.TemporaryDirectory() as directory:
        listener, at = Listener(directory), 0
        with open(os.path.join(directory, "x.log"), "ab", buffering=0) as file:
            for size, kept in [*sorted(growth, key=lambda each: each[0]), (10_000, None)]:
                file.write(data[at : (at := max(at, len(data) * size // 10_000))])
                listener.listen(kept)
        while listener.listen():
            pass
        return listener


def check_console(talk, chunks):
    """Every line as it was said, once, under its number."""
    lines = sorted(lines_of(chunk.data for chunk in chunks), key=lambda line: line.number)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert not any(line.missing or line.cut_bytes for line in lines)
    by_stream = {stream: iter(said) for stream, said in talk.lines().items()}
    said = [next(by_stream[line.stream]) for line in lines]
    assert [line.text for line in lines] == [each.text for each in said]
    assert all(next(rest, None) is None for rest in by_stream.values())
    begun = 0
    for each in said:  # one that had ended before another began comes before it
        assert each.ended >= begun
        begun = max(begun, each.begun)


def check_chunks(chunks):
    """They follow each other without hole or overlap, as the rows of a store have to."""
    assert [chunk.first_line for chunk in chunks] == [1 + sum(c.lines for c in chunks[:at]) for at in range(len(chunks))]
    seqs = [chunk.first_seq for chunk in chunks]
    assert seqs == sorted(set(seqs))


def check_control(talk, end, listener, succeeds):
    """Nothing is told of it but what its supervisor wrote."""
    started = {each for each in listener.events if isinstance(each, Started)}
    assert [(each.version, each.pid) for each in started] == [("9.9", PID)]
    assert any(isinstance(each, Ready) for each in listener.events) is talk.ready
    assert listener.bars == talk.bars
    assert listener.finished.end == end
    assert listener.finished.outputs == (talk.values if succeeds else {})


@pytest.mark.fault("D10", "D11", "D12")
@settings(max_examples=250, deadline=None)
@given(script=talks, growth=growths, succeeds=st.booleans())
def test_any_talk_is_stored_as_it_was_however_its_file_grows_and_its_readers_crash(script, growth, succeeds):
    talk, data, end = spoken(script, succeeds)
    listener = heard(data, growth)
    check_console(talk, listener.chunks)
    check_chunks(listener.chunks)
    check_control(talk, end, listener, succeeds)


@pytest.mark.fault("D8", "D10", "D12")
@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.one_of(floods, floods, says.filter(lambda said: said[0] != "raw")), min_size=1, max_size=5),
    more=st.integers(0, 5),
    growth=growths,
)
def test_lines_longer_than_a_frame_and_than_the_longest_line_are_stored_as_they_were(parts, more, growth):
    talk, data, end = spoken([("flood", 1, b"x", MAX_LINE - 2), *parts, ("raw", 1, b"y" * more), ("value", "", "whole")])
    listener = heard(data, growth)
    check_console(talk, listener.chunks)
    check_chunks(listener.chunks)
    check_control(talk, end, listener, True)


# -- a damaged file -----------------------------------------------------------------------------------------------------

damages = st.tuples(st.sampled_from(["lost", "zeros", "flipped", "noise"]), st.integers(0, 1 << 30), st.integers(1, 2000))


def damaged(data, how, at, size):
    """Somewhere behind the hello and the start."""
    head = data.index(b"\n", data.index(b"\n") + 1) + 1
    at = head + at % (len(data) - head)
    if how == "flipped":
        return data[:at] + bytes([data[at] ^ (1 << size % 8)]) + data[at + 1 :]
    size = min(size, len(data) - at)
    put = {"lost": b"", "zeros": bytes(size), "noise": (b"\n\x1e 7 out " * size)[:size]}[how]
    return data[:at] + put + data[at + size :]


def is_part(text, of):
    rest = iter(of)
    return all(char in rest for char in text)


@pytest.mark.fault("D7")
@settings(max_examples=250, deadline=None)
@given(script=talks, damage=damages, growth=growths)
def test_of_a_damaged_file_outputs_are_right_or_told_as_damaged_and_lines_right_or_missing(script, damage, growth):
    talk, data, end = spoken([*script, ("value", "rows", "é" * 3000), ("value", "", 7)])
    listener = heard(damaged(data, *damage), growth)
    check_chunks(listener.chunks)
    numbered = {line.number: line.text for line in lines_of(chunk.data for chunk in heard(data).chunks)}
    for line in lines_of(chunk.data for chunk in listener.chunks):
        assert line.missing or is_part(line.text, numbered[line.number])
    if listener.finished:
        lost = talk.values.keys() - listener.finished.outputs.keys()
        assert listener.finished.outputs.items() <= talk.values.items()
        assert listener.finished.end.stored is not bool(lost)
        assert all((repr(name) if name else "the return value") in listener.finished.exit.message for name in lost)
        known = [
            n
            for line in lines_of(c.data for c in listener.chunks)
            for n in range(line.number, line.number + (line.missing or 1))
        ]
        assert sorted(set(known)) == list(range(1, end.lines + 1))


def test_the_oracle_knows_what_a_talk_should_come_to():
    talk, _, _ = spoken([("raw", 1, b"a\nb"), ("log", "c\n\nd"), ("raw", 1, b"\xff\n" + b"z" * (MAX_LINE + 1))])
    shown = [(line.text[:5], line.begun, line.ended) for line in talk.lines()["stdout"]]
    assert shown == [("a", 1, 1), ("b\\xff", 1, 3), ("zzzzz", 3, 3), ("z", 3, OPEN)]
    assert [line.text for line in talk.lines()["log"]] == ["c", "", "d"]

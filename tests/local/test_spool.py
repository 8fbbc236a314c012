import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_help import NONCE, Writer

from klassd.workflows.executors import telling
from klassd.workflows.executors.local.spool import PORTION
from klassd.workflows.frames import encode
from klassd.workflows.model.execution import Finished, Output, Progress, Reached, Ready, Started
from klassd.workflows.model.logs import lines_of
from klassd.workflows.model.phases import Phases


def texts(told):
    return [line.text for line in lines_of(t.chunk.data for t in told if isinstance(t, Output))]


def read_all(spool):
    told = []
    while batch := spool.read():
        told += batch
    return told


def test_a_trivial_execution_is_one_batch(tmp_path):
    writer = Writer(tmp_path)
    writer.out("hi")
    writer.say("prog", b={"": {"at": 1}})
    writer.say("ready")
    writer.say("val", k="", p='"o')
    writer.say("val", k="", p='k"')
    writer.say("end", **writer.end([("", b'"ok"')]))
    spool = writer.spool()
    started, ready, reached, progress, output, finished = spool.read()
    assert started == Started(at=2.0, version="9.9", pid=3)
    assert reached == Reached(phases=Phases(first_line=3.0))
    assert (ready, progress) == (Ready(at=5.0), Progress(bars={"": {"at": 1}}))
    assert (output.chunk.first_seq, output.chunk.first_line, output.chunk.lines) == (2, 1, 1)
    assert finished.outputs == {"": b'"ok"'} and finished.end.result == "success" and finished.at == 99.0
    assert spool.finished and (spool.hello.pid, spool.job.pid) == (1, 3)


def test_records_are_stored_as_the_worker_said_them(tmp_path):
    writer = Writer(tmp_path)
    writer.write(b"")
    body = b'{"l":1,"n":1,"v":30,"g":"my.logger","x":"\\u2028 \\"quoted\\""}'
    writer.write(encode(NONCE, 2, "log", 77, body))
    *_, output = writer.spool().read()
    assert output.chunk.data == b"[[77," + body + b"]]"


@given(
    cuts=st.lists(st.integers(0, 3000), max_size=8),
    lines=st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=60), max_size=30),
)
def test_however_a_file_grows_each_line_is_told_once(tmp_path_factory, cuts, lines):
    writer = Writer(tmp_path_factory.mktemp("spool"))
    data = b"".join(writer.out_frame(line) for line in lines) + writer.frame("end", **writer.end())
    spool, told, at = writer.spool(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        writer.write(data[at : max(at, cut)])
        at = max(at, cut)
        told += spool.read()
    assert texts(told) == lines
    assert [type(t) for t in told if not isinstance(t, Output)] == [Started, *([Reached] if lines else []), Finished]


@given(numbers=st.lists(st.integers(1, 5), min_size=1, max_size=20), chunk=st.integers(40, 400), stop=st.integers(0, 19))
def test_whoever_resumes_at_a_stored_chunk_hears_the_rest_and_only_that(tmp_path_factory, numbers, chunk, stop):
    writer = Writer(tmp_path_factory.mktemp("spool"))
    for number in numbers:
        writer.out(*(f"line {number}" for _ in range(number)))
        writer.say("beat")
    writer.say("val", k="", p="null")
    writer.say("end", **writer.end([("", b"null")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telling, "CHUNK", chunk)
        whole = read_all(writer.spool())
        chunks = [t.chunk for t in whole if isinstance(t, Output)]
        last = chunks[min(stop, len(chunks) - 1)]
        spool = writer.spool(last.cursor, last.first_seq + 1, last.first_line + last.lines)
        rest = read_all(spool)
    kept = [Output(chunk=c) for c in chunks if c.first_seq <= last.first_seq]
    assert texts(kept + rest) == texts(whole)
    assert rest[-1].outputs == {"": b"null"} and not any(isinstance(t, Started) for t in rest)
    assert spool.hello and spool.job
    lines = [c.lines for c in chunks]
    assert [c.first_line for c in chunks] == [1 + sum(lines[:i]) for i in range(len(lines))]


def test_lines_that_are_missing_are_marked_with_their_number(tmp_path):
    writer = Writer(tmp_path)
    writer.out("one")
    torn = writer.out_frame("two", "three")
    writer.write(torn[: len(torn) // 2] + b"\n")
    writer.out("four")
    writer.line += 2
    writer.say("end", **writer.end())
    told = writer.spool().read()
    shown = [(line.number, line.text, line.missing) for line in lines_of(t.chunk.data for t in told if isinstance(t, Output))]
    assert shown == [(1, "one", 0), (2, "", 2), (4, "four", 0), (5, "", 2)]
    assert [t.chunk.lines for t in told if isinstance(t, Output)] == [6]


def test_what_the_consoles_limit_left_out_is_not_counted_as_missing(tmp_path):
    writer = Writer(tmp_path)
    writer.out("one")
    writer.say("out", l=2, n=0, cut=1000)
    writer.say("end", **writer.end(lines=5))
    told = writer.spool().read()
    assert [line.cut_bytes for line in lines_of(t.chunk.data for t in told if isinstance(t, Output))] == [0, 1000]


def test_a_line_that_goes_on_in_the_next_chunk_keeps_its_number(tmp_path):
    writer = Writer(tmp_path)
    writer.say("out", l=1, n=0, s=1, x="half ", m=True)
    spool = writer.spool()
    *_, first = spool.read()
    writer.say("out", l=1, n=1, s=1, x="a line\n")
    writer.say("out", l=2, n=1, s=1, x="next\n")
    (second,) = spool.read()
    assert texts([first, second]) == ["half a line", "next"]
    assert (first.chunk.first_line, first.chunk.lines, second.chunk.first_line, second.chunk.lines) == (1, 1, 2, 1)


@pytest.mark.parametrize("text", [b'"o', b'"OK"', None])
def test_an_output_that_is_not_whole_fails_the_execution(tmp_path, text):
    writer = Writer(tmp_path)
    if text:
        writer.say("val", k="name", p=text.decode())
    writer.say("end", **writer.end([("name", b'"ok"')]))
    finished = writer.spool().read()[-1]
    assert finished.end.stored is False and finished.outputs == {}
    assert "'name'" in finished.exit.message


def test_a_large_file_is_read_in_portions(tmp_path):
    writer = Writer(tmp_path)
    writer.write(b"".join(writer.out_frame("x" * 9000) for _ in range(2 * PORTION // 9000)))
    spool = writer.spool()
    first = spool.read()
    assert spool.more and sum(len(t.chunk.data) for t in first if isinstance(t, Output)) <= PORTION
    assert all(len(t.chunk.data) < telling.CHUNK + 16 * 1024 for t in first if isinstance(t, Output))
    assert len(texts(first + read_all(spool))) == 2 * PORTION // 9000


@pytest.mark.parametrize("cursor", ["", "500"])
def test_an_emptied_file_is_gone(tmp_path, cursor):
    writer = Writer(tmp_path)
    os.truncate(writer.path, 0)
    spool = writer.spool(cursor)
    assert spool.read() == [] and spool.gone
    os.unlink(writer.path)
    spool = writer.spool(cursor)
    assert spool.read() == [] and spool.gone


def test_the_outcome_file_serves_where_the_spool_could_not_be_written(tmp_path):
    writer = Writer(tmp_path)
    writer.out("one")
    spool = writer.spool()
    spool.read()
    assert spool.record() == []
    (tmp_path / "x.end").write_text(json.dumps(writer.end([("", b"1")], lines=3)))
    output, finished = spool.record()
    assert [line.missing for line in lines_of([output.chunk.data])] == [2]
    assert finished.end.stored is False and spool.finished

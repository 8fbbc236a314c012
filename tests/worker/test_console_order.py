"""One console of everything a job says, in the order in which it said it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worker_help import NONCE, Runner, Template

from klassd.workflows.frames import MAX_BODY, encode


def test_print_stderr_logging_and_ctx_log_stand_in_the_order_they_were_said(shared: Template) -> None:
    for said in [shared.run("Mixed") for _ in range(5)]:
        expected = [each for n in range(20) for each in (f"print {n}", f"log {n}", f"stderr {n}", f"logging {n}")]
        assert [text for text in said.texts if text != "raw"] == expected and "raw" in said.texts
        first = {line.text: line for line in said.lines}
        assert first["print 0"].stream == "stdout" and first["stderr 0"].stream == first["raw"].stream == "stderr"
        assert (first["log 0"].level, first["log 0"].logger) == (20, "")
        assert (first["logging 0"].level, first["logging 0"].logger) == (30, "my.logger")


@pytest.mark.fault("D12")
def test_a_print_without_newline_keeps_its_line_and_output_whole(shared: Template) -> None:
    said = shared.run("HalfALine")
    assert sorted((line.number, line.text) for line in said.lines) == [(1, "no newline and its end"), (2, "said")]
    assert said.values == {"": "done", "size": 3}


@pytest.mark.fault("D13")
@pytest.mark.parametrize("how", ["redirect_stdout", "devnull", "close", "close both", "sys.stdout", "None"])
def test_a_job_may_do_to_its_standard_output_what_it_likes(shared: Template, how: str) -> None:
    said = shared.run("Redirects", inputs={"how": how})
    assert said.value == ("captured\n" if how == "redirect_stdout" else how)
    assert said.texts == ["before", "logged" if how == "redirect_stdout" else "after"]


def test_a_file_that_took_the_place_of_standard_output_holds_nothing_of_ours(shared: Template, tmp_path: Path) -> None:
    said = shared.run("RedirectToFile", inputs={"path": str(tmp_path / "file")})
    assert said.texts == ["into the console"]
    assert (tmp_path / "file").read_bytes() == b"into the file\ninto the file too\n"


def test_forked_processes_and_programs_print_into_the_same_console(shared: Template) -> None:
    said = shared.run("ForkedPrints")
    expected = [text for number in range(3) for text in (f"child {number}", f"parent {number}")]
    assert said.texts == [*expected, "from a program"]


def test_a_forked_child_that_returns_from_run_does_not_speak_for_the_job(shared: Template) -> None:
    said = shared.run("ForksAndReturns")
    assert said.value == "parent" and said.texts == ["the child prints"] and said.end.result == "success"


def test_warnings_tracebacks_and_records_have_their_streams_levels_and_names(shared: Template) -> None:
    lines = {line.text: line for line in shared.run("Logs").lines}
    assert "hidden" not in lines
    assert [(lines[text].level, lines[text].logger) for text in ("two", "lines")] == [(20, "shop")] * 2
    assert lines["careful"].level == 30 and lines["{'any': 'object'}"].level == 15
    assert lines['  warnings.warn("old", stacklevel=1)'].stream == "stderr"
    assert lines["KeyError: 'inside'"].level == 40


def test_long_records_come_whole(shared: Template) -> None:
    said = shared.run("LogsLong")
    assert said.texts == ["é" * 100_000, *(f"line {number}" for number in range(5000))]


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ("nothing", ["info", "warning"]),
        ("level", ["debug", "info", "warning"]),
        ("basicConfig level", ["debug", "info", "warning"]),
        ("late", ["info", "warning"]),
    ],
)
def test_logging_shows_info_unless_the_job_says_otherwise(shared: Template, how: str, shown: list[str]) -> None:
    said = shared.run("LogsConfigured", inputs={"how": how})
    assert [line.text.rpartition(":")[2] for line in said.lines] == shown


# -- bytes (D10), forged frames (D11) -------------------------------------------------------------------------------

forged = st.builds(
    lambda kind, body, cut: encode(NONCE, 2, kind, 0, body)[:cut],
    st.sampled_from(["start", "ready", "val", "prog", "end"]),
    st.sampled_from([b'{"result":"failure"}', b'{"k":"","p":"\\"forged\\""}', b'{"b":{"":{"at":1}}}']),
    st.sampled_from([33, 60, None]),
)  # under the order's own nonce, which no job knows, whole or in pieces
nasty = st.sampled_from([b"\n", b"\x1e", b"\x00", b"\x1b[31m", b"\r50%", "\u2028é".encode()])
writes = st.lists(st.tuples(st.sampled_from([1, 2]), st.one_of(st.binary(max_size=40), nasty, forged)), max_size=12)


def text_of(data: bytes) -> list[str]:
    text = data.decode("utf-8", "backslashreplace")
    return text.removesuffix("\n").split("\n") if text else []


@pytest.mark.fault("D10", "D11")
@given(writes=writes)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_any_writes_are_shown_and_break_nothing(shared: Template, writes: list[tuple[int, bytes]]) -> None:
    said = shared.run("Write", inputs={"writes": [(fd, data.decode("latin-1")) for fd, data in writes]})
    assert said.value == "intact" and said.end.result == "success" and said.plain == []
    assert [said.kinds.count(kind) for kind in ("start", "ready", "prog", "val")] == [1, 0, 0, 1]
    for fd, stream in ((1, "stdout"), (2, "stderr")):
        written = b"".join(data for to, data in writes if to == fd)
        assert [line.text for line in said.lines if line.stream == stream] == text_of(written)


@pytest.mark.fault("D11")
def test_printed_frames_are_text_and_change_no_state(shared: Template, runner: Runner) -> None:
    for said in (shared.run("Forges"), runner.run("Forges", code=0)):
        assert said.end.result == "success" and said.value == "succeeded"
        assert said.text.count('"failure"') == 8


@pytest.mark.fault("D11")
def test_stolen_markers_change_nothing_and_stall_nothing(shared: Template) -> None:
    said = shared.run("ForgesMarkers")
    assert said.value == "succeeded"
    assert sorted(said.texts) == sorted([*map(str, range(200)), "the only message"])
    assert said.end.finished_at - said.end.started_at < 2.0


def test_nonsense_on_the_control_channel_harms_nobody(shared: Template) -> None:
    said = shared.run("Faulty")
    assert said.value == "succeeded" and "still there" in said.texts
    assert shared.run("Add", inputs={"a": 1}).value == 2


# -- many lines -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D9")
def test_a_flood_of_lines_comes_whole_in_full_frames(shared: Template) -> None:
    said = shared.run("PrintsMany", inputs={"lines": 100_000})
    texts = said.texts
    assert len(texts) == 100_000 and texts[77] == "this is line 77 of a console that many will never read"
    assert said.end.lines == 100_000
    records = said.bodies("out")
    assert sum(record["n"] for record in records) == 100_000
    assert len(records) < 100_000 / 50
    assert max(len(json.dumps(record)) for record in records) <= MAX_BODY


def test_an_unfinished_line_is_shown_while_the_job_goes_on(shared: Template) -> None:
    execution_id = shared.launch("Prompts")
    said = shared.spool.until_said(execution_id, "out")
    assert [(body["x"], body.get("m")) for body in said.bodies("out")] == [("password: ", True)]
    shared.stop(execution_id)
    shared.spool.until_ended(execution_id)


# -- bars -----------------------------------------------------------------------------------------------------------


def test_the_last_of_each_bar_is_shown(shared: Template) -> None:
    last: dict[str, object] = {}
    for body in shared.run("Bars").bodies("prog"):
        last.update(body["b"])
    assert last == {"": {"at": 100.0, "of": 100.0, "text": "all"}, "inner": {"at": 2, "of": 2}}


def test_bars_are_thinned_out_to_ten_frames_a_second(shared: Template) -> None:
    said = shared.run("ManyBars")
    bodies = said.bodies("prog")
    assert said.value > 100 and len(bodies) <= 8
    assert bodies[-1]["b"][""]["at"] == 77.0

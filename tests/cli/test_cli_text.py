"""What jobs print is made safe to show."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.cli.style import Paint, cells, duration, size, table
from klassd.workflows.cli.text import harmless, last_overwrite, shorten, without_password

SGR = re.compile(r"\x1b\[[0-9;:]*m")
nasty = st.text(st.sampled_from("ab \t\x1b[]0;31mJH\x07\r\x00\x9b\u202e\u2028é\ud800")) | st.text()


@given(nasty)
def test_nothing_but_colours_can_reach_the_terminal(text: str) -> None:
    shown = SGR.sub("", harmless(text, colours=True))
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)


@given(nasty)
def test_without_colours_no_escape_character_is_left(text: str) -> None:
    assert "\x1b" not in harmless(text, colours=False)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert harmless(text, colours=True) == harmless(text, colours=False) == text


def test_a_colour_is_closed_at_the_end_of_its_line() -> None:
    assert harmless("\x1b[31mred", colours=True) == "\x1b[31mred\x1b[0m"


def test_a_sequence_that_is_no_colour_is_shown_escaped() -> None:
    assert harmless("a\x1b[2Jb\x1b]0;title\x07", colours=True) == "a\\x1b[2Jb\\x1b]0;title\\x07"


def test_of_a_bar_drawn_with_carriage_returns_the_last_state_is_shown() -> None:
    assert last_overwrite("\r 10%\r 50%\r100%") == "100%"
    assert last_overwrite("100%\r") == "100%"


def test_text_is_cut_with_an_ellipsis() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"


def test_a_password_in_a_url_is_not_shown() -> None:
    assert without_password("postgresql://me:secret@db/jobs") == "postgresql://me:***@db/jobs"
    assert without_password("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"


def test_durations_and_sizes_read_well() -> None:
    assert [duration(each) for each in (0.0, 0.014, 0.996, 59.94, 59.96, 3599, 3661, 200_000)] == [
        "<1 ms", "14 ms", "1.0 s", "59.9 s", "1 min 00 s", "59 min 59 s", "1 h 01 min", "2 d 7 h",
    ]  # fmt: skip
    assert [size(each) for each in (0, 999, 1000, 123_456, 5_000_000)] == ["0 B", "999 B", "1.0 KB", "123 KB", "5.0 MB"]


def test_columns_stay_aligned_with_wide_characters() -> None:
    lines = table(("A", "B"), [("日本", "x"), ("ab", "y")], Paint(False))
    assert [cells(line.rpartition(last)[0]) for line, last in zip(lines, "Bxy", strict=True)] == [6, 6, 6]

"""field=value on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.cli.inputs import describe, read_inputs, split_words
from klassd.workflows.cli.problems import Problem

FIELDS = {
    "name": {"type": "string"},
    "count": {"type": "integer"},
    "ratio": {"type": "number"},
    "loud": {"type": "boolean"},
    "ids": {"type": "array", "items": {"type": "string"}},
    "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "colour": {"enum": ["red", "green"]},
    "level": {"enum": [1, 2]},
    "where": {"$ref": "#/$defs/Place"},
    "any": {},
}
DEFS = {"Place": {"type": "object"}}


def read(*words: str, file: str | None = None) -> dict[str, object]:
    return read_inputs(words, file, FIELDS, DEFS, "Hello")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("name=team", "team"),
        ("name=5", "5"),
        ("name=null", "null"),
        ('name="quoted"', '"quoted"'),
        ("name=", ""),
        ("name=a=b", "a=b"),
        ("count=5", 5),
        ("count=five", "five"),  # for the job to refuse, by field and rule
        ("ratio=2", 2),
        ("ratio=2.5", 2.5),
        ("loud=true", True),
        ("loud=1", "1"),
        ('ids=["dk", "se"]', ["dk", "se"]),
        ("maybe=null", None),
        ("maybe=text", "text"),
        ("colour=red", "red"),
        ("level=2", 2),
        ('where={"x": 1}', {"x": 1}),
        ("any=[1]", [1]),
        ("any=text", "text"),
    ],
)
def test_a_value_is_json_where_that_fits_the_field_and_else_text(word: str, value: object) -> None:
    assert list(read(word).values()) == [value]


@given(st.text())
def test_any_text_reaches_a_text_field_unchanged(text: str) -> None:
    assert read(f"name={text}") == {"name": text}


@given(st.lists(st.text()))
def test_a_list_reaches_a_list_field_unchanged(items: list[str]) -> None:
    assert read(f"ids={json.dumps(items)}") == {"ids": items}


def test_words_go_before_what_a_file_says(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"name": "file", "count": 1}')
    assert read("name=word", file=str(file)) == {"name": "word", "count": 1}


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["nam=x"], "Hello has no input named 'nam'", "did you mean name?"),
        (["name"], "'name' is no input", "expected FIELD=VALUE"),
        (["=x"], "'=x' is no input", "expected FIELD=VALUE"),
    ],
)
def test_a_wrong_word_is_named_with_what_was_expected(words: list[str], message: str, hint: str) -> None:
    with pytest.raises(Problem) as raised:
        read(*words)
    assert raised.value.message == message
    assert raised.value.hints[0] == hint
    assert raised.value.hints[1].startswith("inputs of Hello: name (string), count (integer), ")


def test_an_input_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text("[1]")
    with pytest.raises(Problem, match="holds a JSON array"):
        read(file=str(file))
    file.write_text("{")
    with pytest.raises(Problem, match="is not JSON"):
        read(file=str(file))
    with pytest.raises(Problem, match="cannot be read: No such file"):
        read(file=str(tmp_path / "none.json"))


def test_types_are_described_in_a_word() -> None:
    assert [describe(FIELDS[name]) for name in ("name", "maybe", "colour", "where", "any")] == [
        "string", "string | null", '"red" | "green"', "Place", "any",
    ]  # fmt: skip
    assert describe({"type": "string", "format": "date-time"}) == "date-time"


@pytest.mark.parametrize(
    ("words", "default", "expected"),
    [
        (["hello:app", "Hello", "name=x"], None, ("hello:app", "Hello", ["name=x"])),
        (["Hello", "name=x"], "hello:app", (None, "Hello", ["name=x"])),
        (["hello:Hello", "name=x"], "hello:app", (None, "hello:Hello", ["name=x"])),
        (["hello:app", "hello:Hello"], "other:app", ("hello:app", "hello:Hello", [])),
        (["hello:app"], None, ("hello:app", "", [])),
        (["hello.py"], None, ("hello.py", "", [])),
        (["hello:app"], "hello:app", ("hello:app", "", [])),
        (["Hello"], None, (None, "Hello", [])),
        ([], None, (None, "", [])),
    ],
)
def test_the_app_may_be_left_out(words: list[str], default: str | None, expected: object) -> None:
    assert split_words(words, default) == expected

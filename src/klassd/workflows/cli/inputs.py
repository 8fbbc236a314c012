"""Inputs from the command line: ``field=value`` and ``--input FILE``.

A value is read as JSON where that fits the field's type, else it is text: ``name=5`` is the text "5" for a ``str`` and the
number 5 for an ``int``. Whether the result is allowed at all is for the job to say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from klassd.workflows.cli.problems import Problem, did_you_mean

Schema = Mapping[str, Any]


def read_inputs(
    words: Sequence[str], file: str | None, fields: Mapping[str, Schema], defs: Mapping[str, Schema], what: str
) -> dict[str, Any]:
    """The inputs of ``what`` (a name for messages). ``fields``: JSON Schema of each; single words override the file."""
    given: dict[str, Any] = _from_file(file) if file else {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise Problem(f"{word!r} is no input", "expected FIELD=VALUE", _fields_hint(what, fields))
        given[name] = _value(text, fields.get(name, {}), defs)
    unknown = [name for name in given if name not in fields]
    if unknown:
        raise Problem(f"{what} has no input named {unknown[0]!r}", did_you_mean(unknown[0], fields), _fields_hint(what, fields))
    return given


def split_words(words: Sequence[str], default_app: str | None) -> tuple[str | None, str, list[str]]:
    """(app, name, inputs) of ``[MODULE:APP] NAME [FIELD=VALUE ...]``; name is "" where none was given."""
    names = list(words[:2]) if len(words) > 1 and "=" not in words[1] else list(words[:1])
    inputs = list(words[len(names) :])
    if len(names) == 2:
        return names[0], names[1], inputs
    if not names:
        return None, "", inputs
    alone = names[0]
    if default_app is None or alone == default_app:  # an app without a name, or a name without an app
        return (alone, "", inputs) if _looks_like_app(alone) else (None, alone, inputs)
    return None, alone, inputs


def _looks_like_app(word: str) -> bool:
    return ":" in word or word.endswith(".py")


def _from_file(file: str) -> dict[str, Any]:
    where = "standard input" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else _read(file)
        given = json.loads(text)
    except OSError as error:
        raise Problem(f"--input {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Problem(f"--input: {where} is not JSON: {error}", "expected one object, such as " + '{"name": "team"}') from error
    if not isinstance(given, dict):
        raise Problem(
            f"--input: {where} holds a JSON {_json_kind(given)}", "expected one object, such as " + '{"name": "team"}'
        )
    return given


def _read(file: str) -> str:
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def _value(text: str, schema: Schema, defs: Mapping[str, Schema]) -> Any:
    try:
        parsed = json.loads(text)
    except ValueError:
        return text
    if isinstance(parsed, str) and accepts(schema, text, defs):
        return text  # quotes that the shell left are part of the text
    return parsed if accepts(schema, parsed, defs) else text


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def accepts(schema: Schema, value: Any, defs: Mapping[str, Schema]) -> bool:
    """Whether the value is of a kind that the schema takes. Looks at the kind only, not at bounds and patterns."""
    if "$ref" in schema:
        return accepts(defs.get(schema["$ref"].rpartition("/")[2], {}), value, defs)
    if "anyOf" in schema:
        return any(accepts(each, value, defs) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kinds = schema.get("type", list(_KINDS))
    return any(_is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _KINDS[kind])


def _json_kind(value: Any) -> str:
    return next(kind for kind in _KINDS if _is_kind(value, kind))


def _fields_hint(what: str, fields: Mapping[str, Schema]) -> str:
    if not fields:
        return f"{what} takes no inputs"
    return f"inputs of {what}: {', '.join(f'{name} ({describe(schema)})' for name, schema in fields.items())}"


def describe(schema: Schema) -> str:
    """A field's type in a word or two."""
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(describe(each) for each in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    kind = schema.get("type", "any")
    kind = kind if isinstance(kind, str) else " | ".join(kind)
    return str(schema.get("format", kind)) if kind == "string" else kind

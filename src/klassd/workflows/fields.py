"""Typed values at the border: JSON to a field's type and back, every problem said in a sentence."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec

from klassd.workflows.errors import InvalidInput
from klassd.workflows.importable import near

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_SIZES = {"min_length": "length >=", "max_length": "length <=", "pattern": "matching", "multiple_of": "multiple of"}
_NATIVE = (bytes, bytearray, datetime, date, time, timedelta, UUID, Decimal)
_SHOWN = 80  # characters of a wrong value that a message quotes


@dataclass(frozen=True, slots=True)
class Field:
    """One input. ``type`` is what msgspec understands, or a pydantic model or path inside it."""

    name: str
    type: Any = Any
    required: bool = True
    default: Callable[[], Any] | None = None
    description: str = ""

    @property
    def nullable(self) -> bool:
        """Whether null is a value of it."""
        return _problem(self, None) is None


class Fields:
    """The inputs of a job, or the parameters of a workflow. ``owner`` is named in errors."""

    def __init__(self, owner: str, fields: Iterable[Field]) -> None:
        self.owner = owner
        self._fields = {field.name: field for field in fields}

    def __iter__(self) -> Iterator[Field]:
        return iter(self._fields.values())

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def decode(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """JSON to live values of the fields given. Raises ``InvalidInput`` with all problems."""
        return self._each(inputs, decode)

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Live values to JSON that ``decode`` takes. Raises ``InvalidInput`` with all problems."""
        return self._each(values, encode)

    def _each(self, given: Mapping[str, Any], convert: Callable[[Field, Any], Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        problems: list[str] = []
        for name, field in self._fields.items():
            if name in given:
                try:
                    result[name] = convert(field, given[name])
                except ValueError as error:
                    problems.append(str(error))
            elif field.required:
                problems.append(f"field {name!r}: missing (expected {describe(field.type)})")
        problems += [self._unknown(name) for name in given if name not in self._fields]
        if problems:
            raise InvalidInput(self.owner, problems)
        return result

    def _unknown(self, name: str) -> str:
        hint = near(name, self._fields) or f" It has {', '.join(self._fields) or 'no fields'}."
        return f"field {name!r}: there is no such field.{hint}"

    def schema(self) -> dict[str, Any]:
        """JSON Schema of all of them together."""
        schemas, definitions = msgspec.json.schema_components(
            [field.type for field in self._fields.values()], schema_hook=_schema, ref_template="#/$defs/{name}"
        )
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {field.name: _told(field, each) for field, each in zip(self, schemas, strict=True)},
            "required": [field.name for field in self if field.required],
            "additionalProperties": False,
        }
        return schema | ({"$defs": definitions} if definitions else {})


def _told(field: Field, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of one field with its description and default."""
    told = dict(schema)
    if field.description:
        told.setdefault("description", field.description)
    if field.default is not None:
        told["default"] = to_json(field.default())
    return told


def field_schema(field: Field) -> dict[str, Any]:
    """JSON Schema of one field, complete in itself."""
    return _told(field, msgspec.json.schema(field.type, schema_hook=_schema))


def check_type(type_: Any) -> None:
    """Raises TypeError when values of the type cannot travel as JSON."""
    msgspec.json.schema(type_, schema_hook=_schema)


def decode(field: Field, value: Any) -> Any:
    """JSON to a live value. Raises ValueError with the sentence."""
    try:
        return msgspec.convert(value, field.type, dec_hook=_dec_hook, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(_sentence(field, value, str(error))) from None


def encode(field: Field, value: Any, order: Literal["deterministic"] | None = None) -> Any:
    """A live value to JSON, checked against the type. Raises ValueError with the sentence.

    Checked twice: as it is, because JSON would make text of bytes and dates given where text belongs; and as JSON,
    because that is what will be read.
    """
    try:
        encoded = to_json(value, order)
        decode(field, msgspec.to_builtins(value, builtin_types=_NATIVE, str_keys=True, enc_hook=_enc_hook))
    except TypeError as error:
        raise ValueError(f"field {field.name!r}: {error}") from None
    decode(field, encoded)
    return encoded


def _problem(field: Field, value: Any) -> str | None:
    try:
        decode(field, value)
    except ValueError as error:
        return str(error)
    return None


# -- JSON ---------------------------------------------------------------------------------------------------------


def to_json(value: Any, order: Literal["deterministic"] | None = None) -> Any:
    """The value as JSON's own types. Raises TypeError saying what cannot be written."""
    return msgspec.json.decode(json_bytes(value, order))


def json_bytes(value: Any, order: Literal["deterministic"] | None = None) -> bytes:
    """The value as JSON. Raises TypeError saying what cannot be written."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=_enc_hook, order=order)
        if b"null" in encoded:  # msgspec writes nan and the infinities as null: a number would be lost without a word
            _refuse_non_finite(msgspec.to_builtins(value, str_keys=True, enc_hook=_enc_hook))
        return encoded
    except (ValueError, OverflowError) as error:
        raise TypeError(f"{_short(value)} cannot be written as JSON: {error}") from None
    except RecursionError:
        raise TypeError(f"a {type(value).__name__} that contains itself cannot be written as JSON") from None


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float) and not isfinite(value):
        raise TypeError(f"{value} is no number of JSON")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        _refuse_non_finite(part)


def _enc_hook(value: Any) -> Any:
    if getattr(type(value), "__klassd_reference__", False):
        raise TypeError(f"{value!r} has a value only while its workflow runs")
    if hasattr(value, "model_dump"):  # pydantic, where it is installed
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(
        f"a value of type {type(value).__name__} cannot be written as JSON; use a dataclass, a msgspec.Struct or plain values,"
        " and an Artifact for large or binary data"
    )


def _dec_hook(type_: Any, value: Any) -> Any:
    if hasattr(type_, "model_validate_json"):
        return _pydantic(type_, value)
    if isinstance(value, str) and hasattr(type_, "__fspath__"):
        return type_(value)
    raise ValueError(f"expected {describe(type_)}")


def _pydantic(model: Any, value: Any) -> Any:
    """From JSON, so that a strict model takes dates and the like as text."""
    try:
        return model.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        errors = getattr(error, "errors", None)
        if errors is None:
            raise
        raise ValueError("; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors())) from None


def _schema(type_: Any) -> dict[str, Any]:
    if hasattr(type_, "model_json_schema"):
        schema: dict[str, Any] = type_.model_json_schema(ref_template=f"#/$defs/{type_.__name__}/$defs/{{model}}")
        return schema
    if hasattr(type_, "__fspath__"):
        return {"type": "string", "format": "path"}
    raise TypeError(
        f"type {describe(type_)} cannot travel as JSON; use a dataclass, a msgspec.Struct or plain types,"
        " and an Artifact for large or binary data"
    )


# -- sentences ----------------------------------------------------------------------------------------------------


def _sentence(field: Field, value: Any, message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$[0]`" as "field 'x[0]': expected int, got str 'abc' (rule: list[int])"."""
    what, _, place = message.partition(" - at ")
    part, _, inside = place.rpartition(" in ")  # "`key` in `$.x`" speaks of a key
    path = inside.strip("`").removeprefix("$")
    what = what.replace("`", "")
    what = f"{part and 'a key: '}{what[:1].lower()}{what[1:]}".replace("`", "")
    found, known = _follow(value, path)
    if known and what.startswith(("expected", "invalid")) and "'" not in what:
        what = what.partition(", got")[0] + f", got {_typed(found)}"
    rule = describe(field.type)
    told = "" if what.startswith(f"expected {rule},") else f" (rule: {rule})"
    return f"field '{field.name}{path}': {what}{told}"


def _follow(value: Any, path: str) -> tuple[Any, bool]:
    end = 0
    for step in _STEP.finditer(path):
        end = step.end()
        try:
            value = value[step[1] or int(step[2])]
        except (KeyError, IndexError, TypeError):
            return None, False
    return value, end == len(path)


def _typed(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {_short(value)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def describe(type_: Any) -> str:
    """A type as people write it, with its limits: ``int >= 1``, ``list[str]``, ``'a' or 'b'``."""
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return " ".join([describe(args[0]), *_limits(args[1:])])
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin in (Union, types.UnionType):
        return " | ".join(map(describe, args))
    if origin is not None:
        inside = ", ".join("..." if arg is Ellipsis else describe(arg) for arg in args)
        return f"{getattr(origin, '__name__', origin)}[{inside}]"
    if type_ is type(None):
        return "None"
    if isinstance(type_, type) and issubclass(type_, Enum):
        return f"{type_.__name__} ({' or '.join(repr(each.value) for each in type_)})"
    return str(getattr(type_, "__name__", type_))


def _limits(annotations: tuple[Any, ...]) -> Iterable[str]:
    for meta in annotations:
        if isinstance(meta, msgspec.Meta):
            for name, sign in (_BOUNDS | _SIZES).items():
                if (limit := getattr(meta, name)) is not None:
                    yield f"{sign} {limit!r}"

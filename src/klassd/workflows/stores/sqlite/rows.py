"""Values to columns and back. JSON columns are JSON as bytes; an empty default is NULL and costs one byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from klassd.workflows.model.phases import Phases
from klassd.workflows.model.run import Execution, ExecutionPatch, LogChunk, NodeRow, Run, RunPatch, execution_id, execution_key
from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.stores.common import key_of

Row = Mapping[str, Any] | Sequence[Any]

LATER, FREE, OWNED, FINAL = range(4)  # runs.stage

_OF_RUNS = frozenset({"params", "tags", "refers_to", "output"})
_JSON = _OF_RUNS | {"outputs", "warnings", "progress", "items", "located", "phases", "token_hashes"}
_CODED = _JSON | {"status", "cause"}  # what is not stored as it is
_RUN = Run.__struct_fields__
_EXECUTION = tuple(field for field in Execution.__struct_fields__ if field != "id")  # the id follows from the key
_PATCH = ExecutionPatch.__struct_fields__[4:]  # after id, node, index, attempt
_COLUMNS = {"index": "item"}  # a reserved word of SQL


# -- queries ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def queries() -> Mapping[str, str]:
    """The statements of ``queries.sql`` by name."""
    text = files(__package__).joinpath("queries.sql").read_text("utf-8")
    named = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): _with_columns(body) for name, body in named}


def _with_columns(body: str) -> str:
    statement = body.split("\n", 1)[1].strip().removesuffix(";")  # without the sentence
    for word, fields in (("run", _RUN), ("execution", _EXECUTION)):
        statement = statement.replace(f"{{{word}}}", ", ".join(_COLUMNS.get(field, field) for field in fields))
        statement = statement.replace(f"{{{word}_values}}", ", ".join(f":{field}" for field in fields))
    return statement


@lru_cache(maxsize=256)
def patch_query(fields: tuple[str, ...]) -> str:
    """The statement that changes these columns of an execution. ``fields`` are a struct's own, never a caller's text."""
    return queries()["patch_execution"].replace("{assignments}", ", ".join(f"{field} = :{field}" for field in fields))


# -- to columns ---------------------------------------------------------------------------------------------------------


def run_values(run: Run) -> dict[str, Any]:
    values = _columns(msgspec.structs.asdict(run))
    if run.status.final:
        values["stage"] = FINAL
    elif run.owner is not None:
        values["stage"] = OWNED
    else:
        values["stage"] = FREE if run.not_before <= run.created_at else LATER
    return values


def run_patch_values(run_id: str, patch: RunPatch) -> dict[str, Any]:
    return {
        "id": run_id,
        "status": patch.status and patch.status.value,
        "final": patch.status is not None and patch.status.final,
        "finished_at": patch.finished_at,
        "output": _column("output", patch.output),
        "error": patch.error,
    }


def node_values(run_id: str, row: NodeRow) -> dict[str, Any]:
    values = _columns(msgspec.structs.asdict(row))
    values["items"] = None if row.items is None else msgspec.json.encode(row.items)  # an empty expansion is one
    return {**values, "run_id": run_id}


def execution_values(execution: Execution) -> dict[str, Any]:
    values = _columns(msgspec.structs.asdict(execution))
    values["ordinal"] = key_of(execution.id, execution.run_id)[0]
    return values


def execution_patch(run_id: str, patch: ExecutionPatch) -> tuple[str, dict[str, Any]] | None:
    """Statement and values; None where it says nothing."""
    values = msgspec.structs.asdict(patch)
    said = {field: values[field] for field in _PATCH if values[field] is not msgspec.UNSET}
    if not said:
        return None
    return patch_query(tuple(said)), {**_columns(said), **key_values(patch.id, run_id), "index": patch.index}


def key_values(id_: str, run_id: str) -> dict[str, Any]:
    ordinal, item, attempt = key_of(id_, run_id)
    return {"run_id": run_id, "ordinal": ordinal, "item": item, "attempt": attempt}


def key_values_of(id_: str) -> dict[str, Any] | None:
    """None: it is no execution's id, so nothing is found under it."""
    try:
        return dict(zip(("run_id", "ordinal", "item", "attempt"), execution_key(id_), strict=True))
    except ValueError:
        return None


def chunk_values(id_: str, run_id: str, chunk: LogChunk) -> dict[str, Any]:
    return {**msgspec.structs.asdict(chunk), **key_values(id_, run_id)}


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """The same dictionary, with what SQLite takes."""
    for field in _CODED & values.keys():
        values[field] = _column(field, values[field])
    return values


def _column(field: str, value: Any) -> Any:
    if field in _JSON:
        return msgspec.json.encode(value) if value or value in (0, "") else _empty(field, value)
    return value.value if isinstance(value, StrEnum) else value


def _empty(field: str, value: Any) -> bytes | None:
    """An output may be [] or false; for the other JSON columns empty is the default."""
    return None if value is None or field != "output" else msgspec.json.encode(value)


# -- from columns -------------------------------------------------------------------------------------------------------


def run_of(row: Sequence[Any]) -> Run:
    values = _present(_RUN, row)
    values["status"] = RunStatus(values["status"])
    for field in {"tags", "refers_to"} & values.keys():
        values[field] = tuple(values[field])
    return Run(**values)


def execution_of(row: Sequence[Any]) -> Execution:
    ordinal, *columns = row
    values = _present(_EXECUTION, columns)
    values["id"] = execution_id(values["run_id"], ordinal, values["index"], values["attempt"])
    values["status"] = ExecutionStatus(values["status"])
    if "cause" in values:
        values["cause"] = Cause(values["cause"])
    for field in ("warnings", "token_hashes"):
        if field in values:
            values[field] = tuple(values[field])
    if "phases" in values:
        values["phases"] = msgspec.convert(values["phases"], Phases)
    return Execution(**values)


def node_of(row: Sequence[Any]) -> NodeRow:
    name, status, items, error, finished_at, address = row
    return NodeRow(
        name=name,
        status=NodeStatus(status),
        items=None if items is None else msgspec.json.decode(items),
        error=error,
        finished_at=finished_at,
        address=address,
    )


def chunk_of(row: Sequence[Any]) -> LogChunk:
    first_seq, first_line, lines, data, cursor, next_seq = row
    return LogChunk(first_seq=first_seq, first_line=first_line, lines=lines, data=data, cursor=cursor, next_seq=next_seq)


def _present(fields: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """NULL is left out: it is the field's default."""
    return {
        field: msgspec.json.decode(value) if field in _JSON else value
        for field, value in zip(fields, row, strict=True)
        if value is not None
    }

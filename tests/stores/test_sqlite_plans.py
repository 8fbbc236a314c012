"""Nothing scans: a store with years of history answers as fast as an empty one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from klassd.workflows.model.run import Execution, ExecutionPatch
from klassd.workflows.stores.sqlite import connection
from klassd.workflows.stores.sqlite.rows import patch_query, queries

LARGE = ("runs", "executions", "log_chunks", "nodes", "run_tags", "definitions", "owners")
# The outer query over at most SUFFIX_DEPTH ids, which the inner one found by the key; and all the leases, by their end.
ALLOWED = {"ids_ending": ["SCAN (subquery-1)"], "forget_owners": ["SCAN owners"]}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = str(tmp_path_factory.mktemp("plans") / "klassd.db")
    made = connection.connect(path)
    connection.migrate(made, path)
    yield made
    made.close()


def statements() -> dict[str, str]:
    fields = tuple(ExecutionPatch.__struct_fields__[4:])
    return {**queries(), "patch_execution": patch_query(fields)}


def plan(database: sqlite3.Connection, sql: str) -> list[str]:
    values = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize("name", sorted(queries()))
def test_no_query_scans_a_table_that_grows(database: sqlite3.Connection, name: str) -> None:
    steps = plan(database, statements()[name])
    scans = [step for step in steps if re.match(r"SCAN (?!found\b|json_each\b|counters\b|CONSTANT)", step)]
    assert scans == ALLOWED.get(name, [])


@pytest.mark.parametrize(
    "name",
    ["free_runs", "owned_runs", "newest_runs", "newest_of_name", "newest_of_tenant", "newest_of_tag", "executions",
     "executions_of_node", "last_chunk", "chunk_before", "chunks_from", "finished_runs", "to_cancel", "ids_between"],
)  # fmt: skip
def test_no_list_is_sorted_after_it_was_found(database: sqlite3.Connection, name: str) -> None:
    assert not [step for step in plan(database, queries()[name]) if "TEMP B-TREE" in step]


def test_a_scan_would_be_seen(database: sqlite3.Connection) -> None:
    for table in LARGE:
        assert plan(database, f"SELECT * FROM {table}") == [f"SCAN {table}"]


def test_every_query_has_one_sentence() -> None:
    text = (Path(connection.__file__).parent / "queries.sql").read_text()
    heads = re.findall(r"-- name: (\w+)\n-- (.*)\n(.*)", text)
    assert [name for name, _, _ in heads] == list(queries())
    assert all(sentence.endswith(".") and not after.startswith("--") for _, sentence, after in heads)


def test_the_table_has_a_column_for_every_field_of_an_execution(database: sqlite3.Connection) -> None:
    columns = {row[1] for row in database.execute("PRAGMA table_info(executions)")}
    assert columns == {"item" if field == "index" else field for field in Execution.__struct_fields__} - {"id"} | {"ordinal"}

"""What a database file may be, where it may lie, and which schema it may have."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from klassd.workflows.errors import ConfigurationError, SchemaMismatch, StoreError
from klassd.workflows.stores.sqlite import SqliteStore, connection, database_path
from klassd.workflows.stores.sqlite.connection import _migrations


async def opened_and_closed(url: str | Path) -> None:
    store = SqliteStore(url)
    await store.open()
    await store.close()


def user_version(path: Path) -> int:
    with sqlite3.connect(path) as database:
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return version


def altered(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/jobs.db", "/var/jobs.db"),
        ("sqlite:///jobs.db", "{cwd}/jobs.db"),
        ("sqlite:///a/b c?d%20.db", "{cwd}/a/b c?d%20.db"),
        ("jobs.db", "{cwd}/jobs.db"),
        ("/var/jobs.db", "/var/jobs.db"),
    ],
)
def test_a_url_or_path_names_a_file(url: str, path: str) -> None:
    assert database_path(url) == path.format(cwd=os.getcwd())


@pytest.mark.parametrize("url", ["sqlite:///:memory:", ":memory:", "sqlite://", "sqlite:///", ""])
def test_a_url_without_a_file_points_to_the_store_in_memory(url: str) -> None:
    with pytest.raises(ConfigurationError, match="'memory:'"):
        SqliteStore(url)


def test_a_url_with_too_few_slashes_is_refused_with_the_right_form() -> None:
    with pytest.raises(ConfigurationError, match="expected sqlite:///relative"):
        SqliteStore("sqlite://jobs.db")


def test_missing_directories_are_made(tmp_path: Path) -> None:
    asyncio.run(opened_and_closed(tmp_path / "a" / "b" / "klassd.db"))
    assert (tmp_path / "a" / "b" / "klassd.db").exists()
    assert not (tmp_path / "a" / "b" / ".gitignore").exists()


def test_a_fresh_state_directory_keeps_itself_out_of_git(tmp_path: Path) -> None:
    asyncio.run(opened_and_closed(tmp_path / ".klassd" / "klassd.db"))
    assert (tmp_path / ".klassd" / ".gitignore").read_text() == "*\n"


def test_a_state_directory_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".klassd").mkdir()
    asyncio.run(opened_and_closed(tmp_path / ".klassd" / "klassd.db"))
    assert not (tmp_path / ".klassd" / ".gitignore").exists()


def test_a_directory_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"the directory of the store .* cannot be made"):
        asyncio.run(opened_and_closed(tmp_path / "file" / "klassd.db"))


def test_a_new_database_has_the_latest_schema_and_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "klassd.db"
    asyncio.run(opened_and_closed(path))
    assert user_version(path) == len(list(_migrations()))
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.fault("C10")
def test_a_schema_from_the_future_is_refused_naming_both_and_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "klassd.db"
    asyncio.run(opened_and_closed(path))
    altered(path, "PRAGMA user_version = 97")
    known = len(list(_migrations()))
    with pytest.raises(SchemaMismatch, match=rf"{path} has schema 97.* knows up to {known}: .*pip install --upgrade"):
        asyncio.run(opened_and_closed(path))
    assert user_version(path) == 97


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    altered(path, "CREATE TABLE customers (id)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="a database of something else"):
        asyncio.run(opened_and_closed(path))
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "klassd.db"
    path.write_bytes(b"something else entirely\n" * 100)
    with pytest.raises(StoreError, match="the file is no SQLite database"):
        asyncio.run(opened_and_closed(path))


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        asyncio.run(opened_and_closed(tmp_path))


@pytest.mark.fault("C12")
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_file_system", lambda directory: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*local disk"):
        asyncio.run(opened_and_closed(tmp_path / "klassd.db"))


def test_the_file_system_of_a_directory_is_that_of_its_nearest_mount() -> None:
    assert connection._file_system("/proc/self") == "proc"
    assert connection._file_system("/procession") == connection._file_system("/")


@pytest.mark.fault("C12")
def test_a_file_system_without_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    class Without:
        def execute(self, statement: str) -> Without:
            assert statement == "PRAGMA journal_mode = WAL"
            return self

        def fetchone(self) -> tuple[str]:
            return ("delete",)

    with pytest.raises(StoreError, match=r"stays in mode 'delete'.*local disk"):
        connection._use_wal(Without(), "/x.db")  # type: ignore[arg-type]


def test_migrations_run_one_after_the_other_from_where_the_schema_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "klassd.db"
    asyncio.run(opened_and_closed(path))
    first = list(_migrations())
    later = ["CREATE TABLE two (a); -- a comment; with a semicolon\nINSERT INTO two VALUES ('x;y');", "ALTER TABLE two ADD b;"]
    monkeypatch.setattr(connection, "_migrations", lambda: iter([*first, *later]))
    asyncio.run(opened_and_closed(path))
    asyncio.run(opened_and_closed(path))
    assert user_version(path) == len(first) + 2
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT * FROM two").fetchall() == [("x;y", None)]
    database.close()


@pytest.mark.fault("C10")
def test_a_migration_that_fails_leaves_the_schema_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "klassd.db"
    asyncio.run(opened_and_closed(path))
    first = list(_migrations())
    monkeypatch.setattr(connection, "_migrations", lambda: iter([*first, "CREATE TABLE two (a);\nCREATE TABLE two (b);"]))
    with pytest.raises(StoreError, match="table two already exists"):
        asyncio.run(opened_and_closed(path))
    monkeypatch.undo()
    asyncio.run(opened_and_closed(path))
    assert user_version(path) == len(first)


def test_verbs_of_a_store_that_is_not_open_say_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "klassd.db")
    with pytest.raises(StoreError, match="not open"):
        asyncio.run(store.get_run("x"))
    with pytest.raises(StoreError, match="not open"):
        asyncio.run(store.enqueue([]))


def test_a_store_can_be_closed_twice_and_opened_again_on_another_loop(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "klassd.db")

    async def use() -> None:
        await store.open()
        assert await store.get_run("x") is None
        await store.close()
        await store.close()

    asyncio.run(use())
    asyncio.run(use())


def test_one_store_serves_two_event_loops_at_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "klassd.db")

    async def here() -> None:
        await store.open()
        assert await asyncio.to_thread(lambda: asyncio.run(store.find_runs("x"))) == []
        assert await store.find_runs("x") == []
        await store.close()

    asyncio.run(here())

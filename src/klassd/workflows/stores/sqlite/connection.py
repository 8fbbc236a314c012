"""Opening a database file: refused where it cannot be safe, migrated where it is older."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from importlib.resources import files

from klassd.workflows.errors import ConfigurationError, SchemaMismatch, StoreError

APPLICATION = 0x6B6C7364  # "klsd" in the file's header: whose database it is
BUSY_MS = 5000
BUSY_TRIES = 6  # waits of BUSY_MS before a lock of another process is an error
_SHARED_WAL = 3  # tries to switch to WAL while another process does the same
_NETWORK = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)


def database_path(url: str) -> str:
    """The file meant by a path or a ``sqlite:///`` URL (four slashes: an absolute path). Raises ``ConfigurationError``."""
    path = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else url
    if path in ("", ":memory:", "sqlite:", "sqlite://"):
        raise ConfigurationError(f"the store is {url!r}, which names no file: use 'memory:' to keep runs in memory only")
    if path.startswith("sqlite:"):
        raise ConfigurationError(f"the store is {url!r}: expected sqlite:///relative.db or sqlite:////absolute/path.db")
    return os.path.abspath(path)


def prepare(path: str) -> None:
    """The directory, and nothing that would have to be cleaned up by hand."""
    directory = os.path.dirname(path)
    try:
        fresh = not os.path.isdir(directory)
        os.makedirs(directory, exist_ok=True)
        if fresh and os.path.basename(directory) == ".klassd":
            with open(os.path.join(directory, ".gitignore"), "w", encoding="utf-8") as file:
                file.write("*\n")
    except OSError as error:
        raise StoreError(f"the directory of the store {path} cannot be made: {error.strerror}") from error
    if (kind := _file_system(os.path.dirname(os.path.realpath(path)))) in _NETWORK:
        raise StoreError(
            f"the store {path} lies on a network file system ({kind}), where SQLite's locks do not hold and data can be "
            "lost: put it on a local disk (KLASSD_STATE or KLASSD_STORE)"
        )


def _file_system(directory: str) -> str:
    """The type of the mount a directory lies in; "" where the system does not say."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split(" - ") for line in file]
    except OSError:
        return ""
    best = ("", "")
    for left, right in mounts:
        point = left.split()[4].replace("\\040", " ")
        if len(point) >= len(best[0]) and f"{directory}/".startswith(point.rstrip("/") + "/"):
            best = (point, right.split()[0])
    return best[1]


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, cached_statements=256)
    try:
        _configure(connection, read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, read_only: bool) -> None:
    if read_only:
        connection.execute("PRAGMA query_only = ON")
        return
    connection.execute("PRAGMA synchronous = NORMAL")
    # 16 MiB: a console comes in chunks of 256 KiB, and with the usual 1000 pages every 8th of them paid for a checkpoint.
    connection.execute("PRAGMA wal_autocheckpoint = 8000")
    connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema up to date. Several processes may do so at once."""
    # Each transaction writes whole pages: half the usual size saves 40 % of the bytes per job, a quarter slows consoles down.
    connection.execute("PRAGMA page_size = 2048")
    _check_owner(connection, path)
    _use_wal(connection, path)
    known = list(_migrations())
    while (version := _pragma(connection, "user_version")) < len(known):
        _apply(connection, version, known[version])
    if version > len(known):
        raise SchemaMismatch(
            f"the store {path} has schema {version}, and this version of klassd-workflows knows up to {len(known)}: "
            "a newer version has opened it. Upgrade with `pip install --upgrade klassd-workflows`, or use another store"
        )


def _check_owner(connection: sqlite3.Connection, path: str) -> None:
    if _pragma(connection, "application_id") == APPLICATION:
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may be making the first tables right now
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and _pragma(connection, "application_id") != APPLICATION:
            raise StoreError(f"{path} is a database of something else: it has {tables} tables that are not ours. Name another")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
    finally:
        connection.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection, path: str) -> None:
    """The busy handler does not cover the switch itself, so two first openers may collide."""
    for left in reversed(range(_SHARED_WAL * 100)):
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError:
            if not left:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreError(
            f"the store {path} cannot use a write-ahead log (SQLite stays in mode {mode!r}): its file system lacks shared "
            "memory, as network file systems do. Put it on a local disk"
        )


def _migrations() -> Iterator[str]:
    directory = files(__package__).joinpath("migrations")
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            yield entry.read_text("utf-8")


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _pragma(connection, "user_version") == version:  # nobody else was faster
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """``executescript`` would commit what is under way, and a migration is one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


_SAYS = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space. Nothing of this was stored; running jobs go on",
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {BUSY_MS * BUSY_TRIES // 1000} s",
    sqlite3.SQLITE_READONLY: "it may not be written: see its permissions, and those of its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that its directory exists and may be written",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup, or start with another file",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database: name another",
    sqlite3.SQLITE_IOERR: "the disk reports an error. Nothing of this was stored",
}


def trouble(error: Exception, path: str) -> StoreError:
    """What is the matter, and what to do."""
    return StoreError(f"the store {path}: {_SAYS.get(error_code(error), 'SQLite could not do it')} ({error!r})")


def error_code(error: Exception) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

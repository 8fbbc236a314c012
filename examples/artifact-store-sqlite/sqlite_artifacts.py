"""An artifact store of your own, as a package of your own: all bytes in one SQLite file, ``sqlite:///path/to/file.db``.

pip install ./examples/artifact-store-sqlite
KLASSD_ARTIFACTS=sqlite:///artifacts.db klassd run examples.catalog_integration:app catalog-integration
pytest examples/artifact-store-sqlite        # the suite that our own stores pass
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
from contextlib import closing
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from klassd.workflows import Artifact
from klassd.workflows.artifacts.checked import checked
from klassd.workflows.artifacts.names import split_key
from klassd.workflows.errors import ArtifactMissing, ArtifactNotStored

BLOCK = 256 * 1024
PATIENCE = 60.0  # seconds; one artifact is written at a time
TABLE = "CREATE TABLE IF NOT EXISTS blocks (key TEXT, number INTEGER, bytes BLOB, PRIMARY KEY (key, number)) WITHOUT ROWID"


class SqliteArtifacts:
    """The three verbs of ``klassd.workflows.artifacts.ArtifactStore``. An artifact is the rows of its key."""

    def __init__(self, url: str) -> None:
        self._path = os.path.abspath(unquote(urlsplit(url).path.removeprefix("/")))  # a job may change its directory

    def save(self, key: str, source: BinaryIO, media_type: str = "application/octet-stream") -> Artifact[Any]:
        split_key(key)  # refuses what could lead elsewhere
        digest, size = hashlib.sha256(), 0
        try:
            with closing(self._connect()) as db, db:  # one transaction: visible whole, or not at all
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM blocks WHERE key = ?", (key,))
                for number, block in enumerate(iter(lambda: source.read(BLOCK), b"")):
                    db.execute("INSERT INTO blocks VALUES (?, ?, ?)", (key, number, memoryview(block)))
                    digest.update(block)
                    size += len(block)
                if not size:
                    db.execute("INSERT INTO blocks VALUES (?, 0, x'')", (key,))
        except sqlite3.Error as error:
            raise ArtifactNotStored(f"artifact {key!r} could not be stored in {self._path}: {error}") from error
        return Artifact(key=key, size=size, sha256=digest.hexdigest(), media_type=media_type)

    def open(self, artifact: Artifact[Any]) -> BinaryIO:
        split_key(artifact.key)
        blocks = _Blocks(self._connect(), artifact.key)
        if not blocks.load():
            blocks.close()
            raise ArtifactMissing(f"artifact {artifact.key!r} is not in {self._path}")
        return checked(blocks, artifact)

    def delete(self, prefix: str) -> None:
        split_key(prefix)
        with closing(self._connect()) as db, db:
            db.execute("DELETE FROM blocks WHERE key = ? OR (key >= ? AND key < ?)", (prefix, f"{prefix}/", f"{prefix}0"))

    def check(self) -> None:
        """Called when a scheduler starts: an error here is one that no job meets."""
        self._connect().close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(TABLE)
        return db


class _Blocks(io.RawIOBase):
    """The rows of a key, one after the other; ``checked`` counts and digests what it gives."""

    def __init__(self, db: sqlite3.Connection, key: str) -> None:
        self._db = db
        self._rows = db.execute("SELECT bytes FROM blocks WHERE key = ? ORDER BY number", (key,))
        self._block = b""

    def load(self) -> bool:
        row = self._rows.fetchone()
        self._block = row[0] if row else b""
        return row is not None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._block:
            self.load()
        count = min(len(buffer), len(self._block))
        buffer[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._db.close()
        super().close()

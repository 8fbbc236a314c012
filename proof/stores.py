"""What torture does to stores, and looks up in them, beside their back."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path


class SqliteFile:
    """One database file that others use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def runs_of(self, owner: str) -> int:
        """Runs that are not final and belong to ``owner``."""
        with closing(sqlite3.connect(self.path, timeout=5.0)) as connection:
            found = connection.execute("SELECT count(*) FROM runs WHERE stage = 2 AND owner = ?", (owner,)).fetchone()
        return int(found[0])

    def keep_locked(self, seconds: float) -> None:
        """Nobody else can write meanwhile."""
        with closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")

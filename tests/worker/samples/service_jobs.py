from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from klassd.workflows.app import App
from klassd.workflows.job import Job


class Connection:
    def __init__(self) -> None:
        self.state = "connected"


class Broken:
    def __init__(self) -> None:
        raise ConnectionError("no database")


def connect() -> Iterator[Connection]:
    print("opened")
    yield Connection()
    print("closed")


class TakesService(Job):
    def run(self, ctx: Any, connection: Connection) -> str:
        print("used")
        return connection.state


class TakesBroken(Job):
    def run(self, ctx: Any, broken: Broken) -> None: ...


app = App(jobs=[TakesService, TakesBroken])
app.provide(Connection, connect)
app.provide(Broken, Broken)

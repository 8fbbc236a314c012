"""What pods say over HTTP, kept beside the store and the cluster, so that it can be compared with both.

Where an answer is lost a line comes again: the same line is kept once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Witness(ThreadingHTTPServer):
    """``url``: where to post a line of text. ``said``: all of them."""

    request_queue_size = 256  # a hundred pods at once
    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Post)
        self.url = f"http://{host}:{self.server_address[1]}"
        self.said: dict[str, None] = {}


class _Post(BaseHTTPRequestHandler):
    server: Witness

    def do_POST(self) -> None:
        line = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.said[line] = None
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def witness(host: str) -> Iterator[Witness]:
    with Witness(host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()

"""A scheduler in a process of its own that counts its requests to the Kubernetes API: ``python -m benchmarks.cluster.host``.

It answers each line of its standard input with the requests so far, by kind, as JSON, and ends when that is closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.cluster.jobs import app

_KIND = re.compile(r"/namespaces/[^/]+/(?P<kind>\w+)(/[^/]+(?P<log>/log)?)?$")


class Requests(logging.Handler):
    """The HTTP library tells its log of each request; nothing of ours has to be changed to count them."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        method, url = map(str, record.args[:2])
        self.counted[kind(method, url)] += 1


def kind(method: str, url: str) -> str:
    """Such as "create jobs", "watch pods", "log pods"."""
    parts = urlsplit(url)
    found = _KIND.search(parts.path)
    verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method) or _reading(found, parse_qs(parts.query))
    return f"{verb} {found['kind'] if found else parts.path}"


def _reading(found: re.Match[str] | None, query: dict[str, Any]) -> str:
    if found and found["log"]:
        return "log"
    return "watch" if "watch" in query else "get"


async def main() -> None:
    requests, http = Requests(), logging.getLogger("httpx2")
    http.setLevel(logging.INFO)
    http.propagate = False
    http.addHandler(requests)
    async with app.scheduler():
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(requests.counted), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

"""One watch: what changed since a version, as it changes, with bookmarks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from fake_api.faults import Faults
from fake_api.http import Request
from fake_api.refused import Refused
from fake_api.selecting import fielded, labelled
from fake_api.storage import KINDS, Change, Storage


async def watch(storage: Storage, faults: Faults, request: Request, resource: str, namespace: str) -> AsyncIterator[bytes]:
    query = request.query
    end = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
    try:
        watching = storage.watch(int(query.get("resourceVersion") or storage.version))
    except Refused as expired:
        yield json.dumps({"type": "ERROR", "object": expired.body}).encode() + b"\n"
        return
    with watching as queue:
        while (left := end - time.monotonic()) > 0:
            lines, ended = await _batch(queue, min(left, faults.bookmarks), request, resource, namespace)
            if faults.mute:
                await asyncio.Event().wait()
            if not lines and not ended and query.get("allowWatchBookmarks") == "true":
                lines = [_bookmark(storage, resource)]
            yield b"".join(faults.distort(lines) if faults.distort else lines)
            if ended:
                return


async def _batch(
    queue: asyncio.Queue[Change | None], wait: float, request: Request, resource: str, namespace: str
) -> tuple[list[bytes], bool]:
    """All there is, once there is something; nothing after ``wait``. And whether the watch is over."""
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(wait):
            while not lines or not queue.empty():
                change = await queue.get()
                if change is None:
                    return lines, True
                if _wanted(change, request, resource, namespace):
                    lines.append(change.line)
    except TimeoutError:
        pass
    return lines, False


def _wanted(change: Change, request: Request, resource: str, namespace: str) -> bool:
    return (
        change.resource == resource
        and namespace in ("", change.namespace)
        and labelled(request.query.get("labelSelector", ""), change.item)
        and fielded(request.query.get("fieldSelector", ""), change.item)
    )


def _bookmark(storage: Storage, resource: str) -> bytes:
    version, kind = KINDS[resource]
    item = {"apiVersion": version, "kind": kind, "metadata": {"resourceVersion": str(storage.version)}}
    return json.dumps({"type": "BOOKMARK", "object": item}).encode() + b"\n"

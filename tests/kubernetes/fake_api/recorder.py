"""Events: what the parts of a cluster say about an object."""

from __future__ import annotations

from fake_api.clock import stamp
from fake_api.storage import Item, Storage


def record(storage: Storage, of: Item, kind: str, reason: str, message: str, by: str) -> None:
    """The same said again counts up."""
    metadata = of["metadata"]
    for event in storage.owned("events", of):
        if (event["reason"], event["message"]) == (reason, message):
            storage.change("events", metadata["namespace"], event["metadata"]["name"], _again)
            return
    said = {
        "involvedObject": {
            "kind": of["kind"],
            "apiVersion": of["apiVersion"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": by},
        "firstTimestamp": stamp(),
        "lastTimestamp": stamp(),
        "count": 1,
    }
    storage.create("events", metadata["namespace"], {"metadata": {"generateName": f"{metadata['name']}."}, **said})


def _again(event: Item) -> None:
    event |= {"count": event["count"] + 1, "lastTimestamp": stamp()}

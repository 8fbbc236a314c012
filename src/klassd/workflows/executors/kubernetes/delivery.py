"""How the order comes into the pod: in a variable, or in a file when it is too large for one."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec

from klassd.workflows.errors import LaunchRefused
from klassd.workflows.executors.kubernetes.parts import literal
from klassd.workflows.order import Order

IN_VARIABLE = 32 * 1024  # bytes; Linux takes 128 KiB, but every watcher of the pod gets this again at each change
IN_CONFIG_MAP = 1024 * 1024 - 4096  # bytes; Kubernetes takes 1 MiB
VOLUME, DIRECTORY, FILE = "klassd-order", "/run/klassd", "order.z"


class Delivery(msgspec.Struct, frozen=True):
    """What the worker's container, its pod and its namespace need for it."""

    variables: list[dict[str, Any]]
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    objects: tuple[dict[str, Any], ...] = ()


def deliver(order: Order, metadata: dict[str, Any]) -> Delivery:
    """``metadata``: of objects that belong to it. Raises ``LaunchRefused`` when the order is too large for any way."""
    encoded = msgspec.structs.replace(order, expires=None).encoded()  # the launcher's clock means nothing on another machine
    text = literal(encoded.decode())
    if len(text) <= IN_VARIABLE:
        return Delivery([{"name": "KLASSD_ORDER", "value": text}])
    packed = zlib.compress(encoded)
    if len(packed) > IN_CONFIG_MAP:
        raise LaunchRefused(
            f"the inputs of {order.execution_id} are too large for a pod: {len(encoded):,} bytes as JSON, {len(packed):,}"
            f" compressed, and there is room for {IN_CONFIG_MAP:,}; pass large data as an Artifact"
        )
    return Delivery(
        variables=[{"name": "KLASSD_ORDER_FILE", "value": f"{DIRECTORY}/{FILE}"}],
        mounts=[{"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}],
        volumes=[{"name": VOLUME, "configMap": {"name": metadata["name"]}}],
        objects=(_config_map(packed, metadata),),
    )


def _config_map(packed: bytes, metadata: dict[str, Any]) -> dict[str, Any]:
    data = {FILE: base64.b64encode(packed).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}

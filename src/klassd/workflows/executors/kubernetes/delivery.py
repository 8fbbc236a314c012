"""How the order comes into the pod: in a variable, or in a file when it is too large for one. And beside it the secret that
the pod claims its start with.

That one travels in a Secret which its Job owns, not in a variable: who may look at pods, and nothing more, may read the
manifest; with it they could claim the start and so keep the execution from running. It is a file and not a ``secretKeyRef``,
because the Secret is made right after the Job, whose it is, and the kubelet looks again for a volume after half a second, for a
variable after ten. The scheduler may create Secrets for this, and not read them.
"""

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
CLAIM_VOLUME, CLAIM_DIRECTORY, TOKEN = "klassd-claim", "/run/klassd-claim", "token"


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


def hand_over_claim(token: str, url: str | None, metadata: dict[str, Any]) -> Delivery:
    """``url``: where its start is claimed; None: nowhere."""
    if url is None:
        return Delivery([])
    return Delivery(
        variables=[
            {"name": "KLASSD_CLAIM_URL", "value": url},
            {"name": "KLASSD_CLAIM_TOKEN_FILE", "value": f"{CLAIM_DIRECTORY}/{TOKEN}"},
            {"name": "KLASSD_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KLASSD_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        ],
        mounts=[{"name": CLAIM_VOLUME, "mountPath": CLAIM_DIRECTORY, "readOnly": True}],
        volumes=[{"name": CLAIM_VOLUME, "secret": {"secretName": metadata["name"]}}],
        objects=(_secret(token, metadata),),
    )


def both(one: Delivery, other: Delivery) -> Delivery:
    return Delivery(
        [*one.variables, *other.variables],
        [*one.mounts, *other.mounts],
        [*one.volumes, *other.volumes],
        (*one.objects, *other.objects),
    )


def _secret(token: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Immutable: the kubelet need not watch it."""
    data = {TOKEN: base64.b64encode(token.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "immutable": True, "data": data}


def _config_map(packed: bytes, metadata: dict[str, Any]) -> dict[str, Any]:
    data = {FILE: base64.b64encode(packed).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}

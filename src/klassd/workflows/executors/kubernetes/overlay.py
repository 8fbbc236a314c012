"""A patch of the pod, as ``kubectl patch`` and kustomize do it: objects by field, lists of named things by name.

``None`` removes a field. Lists whose items have no name, such as ``args``, are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What tells the items of a list apart, by the list's name; as in Kubernetes' own API.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}


def overlaid(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the patch over it; neither is changed."""
    result = dict(base)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _field(name, result.get(name), value)
    return result


def _field(name: str, base: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return overlaid(base if isinstance(base, Mapping) else {}, value)
    key = _KEYS.get(name)
    if key and _told_apart(base, key) and _told_apart(value, key):
        return _items(base, value, key)
    return value


def _told_apart(items: Any, key: str) -> bool:
    return isinstance(items, list | tuple) and all(isinstance(item, Mapping) and key in item for item in items)


def _items(base: list[Any], patch: list[Any], key: str) -> list[Any]:
    result = {item[key]: item for item in base}
    for item in patch:
        result[item[key]] = overlaid(result.get(item[key], {}), item)
    return list(result.values())

"""What is wrong with a pod as it was written, all at once: field, value, rule.

Types first, each field by itself; then, of the fields that have theirs, what Kubernetes would refuse or we could not keep. What
depends on several layers, such as a mount of a volume that no layer has, is seen when the pod is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

import msgspec

from klassd.workflows import quantities
from klassd.workflows.fields import Field, decode
from klassd.workflows.pod_shape import (
    Claim,
    ConfigMapKey,
    ConfigMapVolume,
    ContainerSecurity,
    EmptyDir,
    HostPath,
    Mount,
    PodSecurity,
    SecretKey,
    SecretVolume,
    Toleration,
)

Problems = Iterator[str]

# Compiled on first use: a worker that meets a Pod pays for what that pod has.
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = LABEL
_OBJECT = rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*"
_VARIABLE = r"(?!\.\.?$|\.\.)[-._A-Za-z][-._A-Za-z0-9]*"
_KEY = r"(?!\.\.?$|\.\.)[-._A-Za-z0-9]{1,253}"
_QUALIFIED = rf"((?=.{{1,253}}/){LABEL}(\.{LABEL})*/)?[A-Za-z0-9]([-._A-Za-z0-9]{{0,61}}[A-Za-z0-9])?"
_LABEL_VALUE = r"([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?"
_PATH = r"/[^:\0]*"
_PLACE = r"^field '(?:\[\.\.\.\])?\.?([^']*)': "
_INSIDE = r"(?!/)(?!(.*/)?\.\.(/|$)).+"
_IMAGE = r"\S+"

OWN_DOMAIN, OWN_VARIABLES, FREE_VARIABLES = "klassd.dev", "KLASSD_", "KLASSD_JOB_"
RESERVED_CONTAINERS, RESERVED_VOLUME, RESERVED_PATH = ("worker", "container"), "klassd-order", "/run/klassd"
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")

_NAME_RULE = "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends"
_OBJECT_RULE = "the name of a Kubernetes object: a-z, 0-9, '-' and '.'"


def problems(pod: msgspec.Struct) -> Problems:
    """A sentence for each problem."""
    for name, hint in _types(type(pod)).items():
        value = getattr(pod, name)
        wrong = list(_type_problems(name, hint, value))
        yield from wrong
        if not wrong and value is not None and value != "none" and name in _RULES:
            yield from _RULES[name](name, value)


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _type_problems(name: str, hint: Any, value: Any) -> Problems:
    if isinstance(value, Mapping):  # entry by entry, to name the one
        for key, each in value.items():
            if problem := _type_problem(hint, {key: each}):
                yield f"{name} {key!r} is {each!r}: {problem}"
    elif problem := _type_problem(hint, value):
        yield f"{name} is {value!r}: {problem}"


def _type_problem(hint: Any, value: Any) -> str:
    try:
        decode(Field("", hint), msgspec.to_builtins(value))
    except (TypeError, ValueError) as error:
        return re.sub(_PLACE, lambda found: f"{found[1]} " if found[1] else "", str(error))
    return ""


# -- rules: the name of a field and its value to problems -----------------------------------------------------------


def _is(form: str, expected: str) -> Callable[[str, Any], Problems]:
    def check(name: str, text: str) -> Problems:
        if not re.fullmatch(form, text):
            yield f"{name} is {text!r}: expected {expected}"

    return check


def _each(check: Callable[[str, Any], Problems]) -> Callable[[str, Any], Problems]:
    def checks(name: str, values: Sequence[Any]) -> Problems:
        for index, value in enumerate(values):
            yield from check(f"{name}[{index}]", value)

    return checks


_is_image = _is(_IMAGE, "an image reference such as 'registry/image:tag'")
_is_name = _is(_NAME, _NAME_RULE)
_is_label_value = _is(_LABEL_VALUE, "at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends")
_is_object = _is(_OBJECT, _OBJECT_RULE)
_is_key = _is(_KEY, "a key: letters, digits, '-', '_' and '.'")
_is_path = _is(_PATH, "an absolute path without ':'")
_is_inside = _is(_INSIDE, "a relative path without '..'")
_is_size = _is(quantities.BYTES.pattern, "a size such as '512Mi'")


def _variables(name: str, env: Mapping[str, Any]) -> Problems:
    for variable, value in env.items():
        if not re.fullmatch(_VARIABLE, variable):
            yield f"{name} has {variable!r}: expected the name of a variable"
        if variable.startswith(OWN_VARIABLES) and not variable.startswith(FREE_VARIABLES):
            yield f"{name} has {variable!r}: {OWN_VARIABLES}* is the worker's, but for {FREE_VARIABLES}*; take another name"
        if isinstance(value, str) and "\0" in value:
            yield f"{name} {variable!r} is {value!r}: a variable cannot hold a zero byte"
        if isinstance(value, SecretKey | ConfigMapKey):
            yield from _is_object(f"the name in {name} {variable!r}", value.name)
            yield from _is_key(f"the key in {name} {variable!r}", value.key)


def _source(name: str, source: Any) -> Problems:
    yield from _is_object(f"the name in {name}", source.name)
    if source.prefix and not re.fullmatch(_VARIABLE, source.prefix):
        yield f"the prefix in {name} is {source.prefix!r}: expected the beginning of a variable's name"


def _volumes(name: str, volumes: Mapping[str, Any]) -> Problems:
    for volume, what in volumes.items():
        yield from _is_name(f"a name in {name}", volume)
        if volume == RESERVED_VOLUME:
            yield f"{name} has {volume!r}: that is where the worker finds its order; take another name"
        if isinstance(what, EmptyDir) and what.size is not None:
            yield from _is_size(f"the size in {name} {volume!r}", what.size)
        elif isinstance(what, HostPath):
            yield from _is_path(f"the path in {name} {volume!r}", what.path)
        elif isinstance(what, SecretVolume | ConfigMapVolume | Claim):
            yield from _is_object(f"the name in {name} {volume!r}", what.name)
        if isinstance(what, SecretVolume | ConfigMapVolume):
            for key, path in what.items.items():
                yield from _is_key(f"a key in {name} {volume!r}", key)
                yield from _is_inside(f"the path of {key!r} in {name} {volume!r}", path)


def _mounts(name: str, mounts: Mapping[str, Any]) -> Problems:
    for path, mount in mounts.items():
        yield from _is_path(f"a path in {name}", path)
        if f"{path}/".startswith(f"{RESERVED_PATH}/"):
            yield f"{name} has {path!r}: that is where the worker finds its order; take another path"
        if isinstance(mount, Mount):
            yield from _is_inside(f"the sub_path in {name} {path!r}", mount.sub_path or ".")
        if mount is not None:
            yield from _is_name(f"the volume in {name} {path!r}", mount.volume if isinstance(mount, Mount) else mount)


def _containers(name: str, containers: Sequence[Any]) -> Problems:
    names = [each.name for each in containers]
    for each in containers:
        place = f"{name} {each.name!r}"
        yield from _is_name(f"a name in {name}", each.name)
        if each.name in RESERVED_CONTAINERS or names.count(each.name) > 1:
            yield f"{place}: the name is taken"
        for field, check in _CONTAINER_RULES.items():
            value = getattr(each, field)
            if value is not None and value != "none":
                yield from check(f"{place}: {field}", value)


def _labels(name: str, labels: Mapping[str, str | None]) -> Problems:
    for key, value in labels.items():
        yield from _qualified(name, key)
        if value is not None:
            yield from _is_label_value(f"{name} {key!r}", value)


def _annotations(name: str, annotations: Mapping[str, str | None]) -> Problems:
    for key in annotations:
        yield from _qualified(name, key)


def _qualified(name: str, key: str) -> Problems:
    if not re.fullmatch(_QUALIFIED, key):
        yield f"{name} has {key!r}: expected a name such as 'team' or 'example.org/team'"
    elif name != "node_selector" and key.partition("/")[0].endswith(OWN_DOMAIN):
        yield f"{name} has {key!r}: {OWN_DOMAIN} is ours; take a domain of your own"


def _toleration(name: str, toleration: Toleration) -> Problems:
    if toleration.key is not None and not re.fullmatch(_QUALIFIED, toleration.key):
        yield f"{name} has the key {toleration.key!r}: expected that of a taint, such as 'gpu' or 'example.org/gpu'"
    if toleration.value is not None:
        yield from _is_label_value(f"the value in {name}", toleration.value)
    if toleration.key is None and toleration.value is not None:
        yield f"{name} has the value {toleration.value!r} and no key: expected both, or neither to tolerate every taint"
    if toleration.seconds is not None and toleration.effect != "NoExecute":
        yield f"{name} has seconds={toleration.seconds} and effect={toleration.effect!r}: expected effect='NoExecute' beside it"


def _affinity(name: str, affinity: Mapping[str, Any]) -> Problems:
    for key in affinity:
        if key not in _AFFINITIES:
            yield f"{name} has {key!r}: expected {', '.join(_AFFINITIES)}, as Kubernetes writes them"


def _security(name: str, security: PodSecurity | ContainerSecurity) -> Problems:
    numbers = [security.run_as_user, security.run_as_group]
    if isinstance(security, PodSecurity):
        numbers += [security.fs_group, *(security.supplemental_groups or ())]
    for number in numbers:
        if isinstance(number, int) and not 0 <= number < 2**31:
            yield f"{name} has the user or group {number}: expected a number from 0 to {2**31 - 1}"
    if security.seccomp is not None:
        yield from _is_inside(f"{name}: seccomp", security.seccomp)


def _patch(name: str, patch: Mapping[str, Any]) -> Problems:
    for key in patch:
        if key not in ("metadata", "spec"):
            yield f"{name} has {key!r}: expected 'metadata' and 'spec', as a pod has them"


_CONTAINER_RULES: dict[str, Callable[[str, Any], Problems]] = {
    "image": _is_image,
    "env": _variables,
    "env_from": _each(_source),
    "mounts": _mounts,
    "security": _security,
}

_RULES: dict[str, Callable[[str, Any], Problems]] = {
    **_CONTAINER_RULES,
    "volumes": _volumes,
    "init_containers": _containers,
    "sidecars": _containers,
    "pod_security": _security,
    "labels": _labels,
    "annotations": _annotations,
    "node_selector": _labels,
    "tolerations": _each(_toleration),
    "affinity": _affinity,
    "priority_class": _is_object,
    "service_account": _is_object,
    "image_pull_secrets": _each(_is_object),
    "patch": _patch,
}

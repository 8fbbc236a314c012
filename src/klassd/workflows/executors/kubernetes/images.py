"""The pod of an execution that is an image. Pure.

alone      its container is the one that works, and nothing of ours is in the pod
collected  where it leaves files: the last init container, and then ours reads the files and says them
"""

from __future__ import annotations

import posixpath
from typing import Any

import msgspec

from klassd.workflows.containers.words import words
from klassd.workflows.errors import LaunchRefused
from klassd.workflows.executors.kubernetes import names, parts
from klassd.workflows.executors.kubernetes.defaults import RESOURCES, SECURITY
from klassd.workflows.executors.kubernetes.parts import said
from klassd.workflows.order import ContainerSpec, Order
from klassd.workflows.pod_shape import ContainerSecurity, EmptyDir, Mount, PodShape
from klassd.workflows.rules.pods import merge_security, settled

OWN = "container"  # the image's container, where ours comes after it
COLLECT = ("python3", "-m", "klassd.workflows.worker", "collect")
VOLUME, SIZE = "klassd-out", "1Gi"


def shape_of(spec: ContainerSpec, shape: PodShape) -> PodShape:
    """With the image, and with a volume in every directory of its outputs that has none."""
    missing = [directory for directory in _directories(spec) if shape.mounts.get(directory) is None]
    volumes = {f"{VOLUME}-{number}": EmptyDir(size=SIZE) for number in range(len(missing))}
    mounts = {directory: Mount(volume) for directory, volume in zip(missing, volumes, strict=True)}
    return msgspec.structs.replace(
        shape, image=spec.image, volumes={**shape.volumes, **volumes}, mounts={**shape.mounts, **mounts}
    )


def collector_shape(order: Order, spec: ContainerSpec, shape: PodShape, image: str | None) -> PodShape:
    """Of our container: small, as the default is, and the same user as the image, for it must be able to read its files."""
    if image is None:
        raise LaunchRefused(
            f"there is no image to read the outputs of {order.job} with: set KLASSD_IMAGE to one that has klassd"
        )
    if any(each is not None for each in shape.sidecars.values()):
        raise LaunchRefused(
            f"{order.job} has file outputs, so it has ended before a sidecar would start: take one of them away"
        )
    user = shape.security or ContainerSecurity()
    same = ContainerSecurity(run_as_user=user.run_as_user, run_as_group=user.run_as_group, run_as_non_root=user.run_as_non_root)
    return PodShape(
        image=image,
        image_pull_policy=shape.image_pull_policy,
        mounts={directory: shape.mounts[directory] for directory in _directories(spec)},
        resources=RESOURCES,
        security=settled(merge_security(SECURITY, same)),
    )


def _directories(spec: ContainerSpec) -> list[str]:
    return list(dict.fromkeys(posixpath.dirname(file.path) for file in spec.outputs.values()))


def container(order: Order, spec: ContainerSpec, shape: PodShape, name: str) -> dict[str, Any]:
    """Text as it is given: nothing in it is expanded."""
    given = words(order.job, order.inputs)
    env = {**shape.env, **{variable: parts.literal(value) for variable, value in given.env.items()}}
    return said(
        name=name,
        image=spec.image,
        imagePullPolicy=shape.image_pull_policy,
        command=[parts.literal(word) for word in spec.command],
        args=[parts.literal(word) for word in given.args],
        env=parts.variables(env),
        envFrom=parts.sources(shape.env_from),
        resources=parts.resources(shape.resources),
        readinessProbe=parts.readiness(order.service),
        volumeMounts=parts.mounts(shape.mounts),
        securityContext=parts.container_security(shape.security),
    )


def described(order: Order) -> dict[str, str]:
    if order.container is None:
        return {}
    kind = {names.CONTAINER: names.COLLECTED if order.container.outputs else names.ALONE}
    within = order.service.ready_within if order.service else None
    limits = {names.TIMEOUT: order.timeout, names.READY_WITHIN: within}
    return kind | {name: f"{seconds:g}" for name, seconds in limits.items() if seconds is not None}

"""The objects of one execution: pure, so that what a cluster is asked for can be read, tested and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec

from klassd.workflows.errors import LaunchRefused
from klassd.workflows.executors.kubernetes import images, limits, names, parts
from klassd.workflows.executors.kubernetes.defaults import DEFAULT, RESOURCES, SECURITY
from klassd.workflows.executors.kubernetes.delivery import Delivery, both, deliver, hand_over_claim
from klassd.workflows.executors.kubernetes.overlay import overlaid
from klassd.workflows.executors.kubernetes.parts import said
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.options import Needs
from klassd.workflows.order import Order
from klassd.workflows.pod_shape import ContainerSecurity, ContainerShape, PodShape
from klassd.workflows.rules.pods import merge, merge_security, settled

WORKER = "worker"  # the container that works; its end is the execution's end
COMMAND = ("python3", "-m", "klassd.workflows.worker", "run")
TERMINATION_LOG = "/dev/termination-log"
LAST_WORDS = 5  # seconds after the job's own grace for the supervisor to say what came of it
SPARE = 60  # seconds that a Job outlives what a living scheduler would allow it


class Rendered(msgspec.Struct, frozen=True):
    """``job``: the ``batch/v1`` Job. ``objects``: what its pod needs besides, to be owned by the Job."""

    job: dict[str, Any]
    objects: tuple[dict[str, Any], ...] = ()


def render(order: Order, settings: KubernetesSettings) -> Rendered:
    """Raises ``LaunchRefused`` with all reasons when there can be no such pod."""
    shape = settled(merge(DEFAULT, settings.shape, order.pod or PodShape()))
    url = settings.claim_url(order.execution_id) if order.claim and order.container is None else None
    metadata = _metadata(order, shape, settings, claims=url is not None)
    claim = hand_over_claim(order.claim, url, metadata)
    told = _patient(order, settings) if url else _for_worker(order)
    delivery = both(deliver(told, metadata), claim) if _has_worker(order) else Delivery([])
    unpatched = _template(order, shape, metadata, delivery)
    template = reduce(overlaid, [patch for patch in shape.patches if isinstance(patch, dict)], unpatched)
    if problems := list(limits.problems(template, unpatched, settings.allow)):
        raise LaunchRefused(f"there can be no such pod for {order.job}: {'; '.join(problems)}")
    return Rendered(job=_job(order, settings, metadata, template), objects=delivery.objects)


def _metadata(order: Order, shape: PodShape, settings: KubernetesSettings, *, claims: bool) -> dict[str, Any]:
    return said(
        name=names.job_name(order.execution_id),
        namespace=settings.namespace,
        labels=_texts(shape.labels) | names.labels(order, settings.instance),
        annotations=names.full_names(order)
        | _start_deadline(order, settings)
        | images.described(order)
        | ({names.CLAIM: names.REQUIRED} if claims else {})
        | ({names.ASKED: str(order.service.port)} if order.service and parts.readiness(order.service) else {}),
    )


def _patient(order: Order, settings: KubernetesSettings) -> Order:
    """A worker that waits for an answer to its claim is given up no later than one that waits for its image."""
    own = settings.start_seconds
    return order if order.start_deadline is not None or own is None else msgspec.structs.replace(order, start_deadline=own)


def _start_deadline(order: Order, settings: KubernetesSettings) -> dict[str, str]:
    """The executor's own, for what has none; the engine watches over that of a job or node, but not over the container that
    reads an image's files, which comes after it."""
    reads = order.container is not None and bool(order.container.outputs)
    own = settings.start_seconds if order.start_deadline is None else order.start_deadline if reads else None
    return {} if own is None else {names.START_DEADLINE: f"{own:g}"}


def _job(order: Order, settings: KubernetesSettings, metadata: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    """No time to live yet: what a long outage hides from the scheduler must still be there after it."""
    spec = {
        "backoffLimit": 0,
        "parallelism": 1,
        "completions": 1,
        "podReplacementPolicy": "Failed",  # from 1.28 on, earlier ones pass over it: no second pod beside one that is ending
        "activeDeadlineSeconds": active_deadline(order, settings),
        "template": template,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def active_deadline(order: Order, settings: KubernetesSettings) -> int:
    """When Kubernetes itself ends it: the backstop for the case that no scheduler is there to do it."""
    if order.timeout is None:
        return math.ceil(settings.active_seconds)
    start = order.start_deadline if order.start_deadline is not None else settings.start_seconds
    return math.ceil((start if start is not None else settings.active_seconds) + order.timeout + order.grace) + SPARE


def _template(order: Order, shape: PodShape, metadata: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
    return {
        "metadata": {
            "labels": metadata["labels"],
            "annotations": _texts(shape.annotations) | metadata["annotations"],
        },
        "spec": _pod(order, shape, delivery),
    }


def _texts(entries: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in entries.items() if text is not None}


def _pod(order: Order, shape: PodShape, delivery: Delivery) -> dict[str, Any]:
    init_containers, containers, shape = _containers(order, shape, delivery)
    return said(
        restartPolicy="Never",
        terminationGracePeriodSeconds=math.ceil(order.grace) + LAST_WORDS,
        enableServiceLinks=False,
        automountServiceAccountToken=shape.service_account_token,
        serviceAccountName=shape.service_account,
        hostNetwork=shape.host_network or None,
        priorityClassName=shape.priority_class,
        securityContext=parts.pod_security(shape.pod_security),
        nodeSelector=_texts(shape.node_selector),
        tolerations=parts.tolerations(shape.tolerations),
        affinity=shape.affinity,
        imagePullSecrets=[{"name": name} for name in shape.image_pull_secrets],
        initContainers=init_containers,
        containers=[*containers, *_others(order, shape, shape.sidecars)],
        volumes=[*parts.volumes(shape.volumes), *delivery.volumes],
    )


def _for_worker(order: Order) -> Order:
    """What reads an image's files need not know what the image was given."""
    return order if order.container is None else msgspec.structs.replace(order, inputs={})


def _has_worker(order: Order) -> bool:
    """Whether anything of ours is in its pod."""
    return order.container is None or bool(order.container.outputs)


Containers = list[dict[str, Any]]


def _containers(order: Order, shape: PodShape, delivery: Delivery) -> tuple[Containers, Containers, PodShape]:
    """Those before, the one that works, and the shape that all else of the pod follows."""
    spec = order.container
    if spec is None:
        return _others(order, shape, shape.init_containers), [_worker(order, _with_image(order, shape), delivery)], shape
    own = images.shape_of(spec, shape)
    before = _others(order, own, own.init_containers)
    if not spec.outputs:
        return before, [images.container(order, spec, own, WORKER)], own
    collector = images.collector_shape(order, spec, own, shape.image)
    return [*before, images.container(order, spec, own, images.OWN)], [_worker(order, collector, delivery, images.COLLECT)], own


def _with_image(order: Order, shape: PodShape) -> PodShape:
    if shape.image is None:
        raise LaunchRefused(
            f"there is no image for {order.job}: set KLASSD_IMAGE, or give the job or node one with pod=Pod(image=...)"
        )
    return shape


def _worker(order: Order, shape: PodShape, delivery: Delivery, command: Sequence[str] = COMMAND) -> dict[str, Any]:
    own = [*delivery.variables, {"name": "KLASSD_TERMINATION_LOG", "value": TERMINATION_LOG}]
    if order.service is not None:
        own.append({"name": "KLASSD_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
    return said(
        name=WORKER,
        image=shape.image,
        imagePullPolicy=shape.image_pull_policy,
        command=list(command),
        env=[*parts.variables(shape.env), *own],
        envFrom=parts.sources(shape.env_from),
        resources=parts.resources(shape.resources),
        readinessProbe=parts.readiness(order.service),
        volumeMounts=[*parts.mounts(shape.mounts), *delivery.mounts],
        securityContext=parts.container_security(shape.security),
        terminationMessagePath=TERMINATION_LOG,
        terminationMessagePolicy="File",
    )


def _others(order: Order, shape: PodShape, containers: Mapping[str, ContainerShape | None]) -> list[dict[str, Any]]:
    return [_other(order, shape, name, each) for name, each in containers.items() if each is not None]


def _other(order: Order, shape: PodShape, name: str, container: ContainerShape) -> dict[str, Any]:
    return said(
        name=name,
        image=container.image or shape.image,
        imagePullPolicy=shape.image_pull_policy,
        command=list(container.command),
        args=list(container.args),
        env=[*parts.inputs(order), *parts.variables(container.env)],
        envFrom=parts.sources(container.env_from),
        resources=parts.resources((container.resources or Needs()).over(RESOURCES)),
        volumeMounts=parts.mounts(container.mounts),
        securityContext=parts.container_security(settled(merge_security(SECURITY, container.security or ContainerSecurity()))),
    )

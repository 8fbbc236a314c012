"""One node, from what was asked for to data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.fields import describe
from klassd.workflows.job import JobInfo
from klassd.workflows.job_options import checked, merged
from klassd.workflows.model import workflow as model
from klassd.workflows.nodes import AnyNode
from klassd.workflows.options import Options, Service
from klassd.workflows.pod_shape import PodShape
from klassd.workflows.references import Reference, ReferenceMisuse, Wire, condition, wire_of
from klassd.workflows.rules.pods import merge
from klassd.workflows.services import BACKSTOP
from klassd.workflows.shapes import element
from klassd.workflows.wiring import Wiring

OnEmpty = Literal["omit", "succeed", "fail"]


@dataclass(frozen=True, eq=False)
class Spec:
    """A node as it was asked for."""

    name: str
    info: JobInfo
    instance: object
    after: Any
    when: Any
    options: Mapping[str, Any]
    over: Any = msgspec.UNSET
    max_parallel: int | None = None
    on_empty: OnEmpty = "omit"
    service: Service | None = None


class NodeBuild:
    """One node on its way to data."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self.problems: list[str] = []
        self.wires: list[Wire] = []

    def node(self) -> model.Node:
        spec = self._spec
        inputs = self._inputs()
        over = self._over()
        when = self._when()
        after = self._after()
        options, pod = self._options()
        return model.Node(
            name=spec.name,
            job=spec.info.key,
            source=self._source(),
            inputs=inputs,
            needs=tuple(dict.fromkeys([*(wire.node for wire in self.wires if wire.node), *after])),
            optional=optional_inputs(spec.info),
            when=when,
            over=over,
            max_parallel=self._max_parallel(),
            on_empty=self._on_empty(),
            options=options,
            pod=pod,
            service=spec.service,
            container=spec.info.container,
        )

    def _inputs(self) -> dict[str, Any]:
        wiring = Wiring()
        given = ((field, getattr(self._spec.instance, field.name)) for field in self._spec.info.fields)
        inputs = {field.name: wiring.value(value, field.type, field.name) for field, value in given}
        self._take(wiring)
        return inputs

    def _over(self) -> Any:
        over = self._spec.over
        if over is msgspec.UNSET:
            return over
        if isinstance(over, Reference):
            if element(wire_of(over).type) is None:
                self.problems.append(f"over= must be a list; {wire_of(over).text} is of type {describe(wire_of(over).type)}")
        elif not isinstance(over, list | tuple):
            self.problems.append(f"over= must be a list or a reference to one, got {over!r}")
        wiring = Wiring()
        data = wiring.value(over, Any, "over")
        self._take(wiring)
        return data

    def _take(self, wiring: Wiring) -> None:
        self.wires += wiring.wires
        self.problems += wiring.problems

    def _when(self) -> model.Condition | None:
        if self._spec.when is None:
            return None
        try:
            found = condition(self._spec.when)
        except ReferenceMisuse as error:
            self.problems.append(f"when=: {error}")
            return None
        self.wires += found.wires
        self.problems += found.problems
        return found.data

    def _after(self) -> list[str]:
        after = self._spec.after
        if not isinstance(after, list | tuple | set | frozenset):
            self.problems.append(f"after= must be a list of nodes, got {after!r}")
            return []
        nodes = [each for each in after if isinstance(each, AnyNode)]
        self.problems += [f"after= takes nodes, got {each!r}" for each in after if not isinstance(each, AnyNode)]
        self.wires += [each._wire({}, each.name, Any) for each in nodes]
        return [each.name for each in nodes]

    def _max_parallel(self) -> int | None:
        limit = self._spec.max_parallel
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            self.problems.append(f"max_parallel is {limit!r}: expected a number of at least 1")
            return None
        return limit

    def _on_empty(self) -> OnEmpty:
        if self._spec.on_empty not in get_args(OnEmpty):
            self.problems.append(f"on_empty is {self._spec.on_empty!r}: expected {describe(OnEmpty)}")
        return self._spec.on_empty

    def _options(self) -> tuple[Options, PodShape | None]:
        info = self._spec.info
        try:
            given = checked("options", self._spec.options, keyed=False)
        except ConfigurationError as error:
            self.problems.append(str(error))
            given = {}
        options = merged(info.options, given)
        if self._spec.service is not None and options.timeout is None:
            options = msgspec.structs.replace(options, timeout=BACKSTOP)
        pod = given.get("pod")
        if info.container is not None and pod is not None and pod.image is not None:
            self.problems.append(f"pod= has the image {pod.image!r}: a container's image is what it is made with")
        return options, pod_of(info, pod)

    def _source(self) -> str:
        try:
            return self._spec.info.source
        except ConfigurationError as error:
            self.problems.append(str(error))
            return ""


def pod_of(info: JobInfo, of_node: PodShape | None = None) -> PodShape | None:
    """What a job's class and a node of it say of its pods together."""
    layers = [*info.pods, of_node] if of_node else info.pods
    return merge(*layers) if layers else None


def optional_inputs(info: JobInfo) -> tuple[str, ...]:
    return tuple(field.name for field in info.fields if field.nullable)

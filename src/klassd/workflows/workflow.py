"""Workflows: jobs wired together by what they return, checked by the editor and once more when the workflow is built.

    wf = Workflow("catalog-integration")
    markets = wf.add("markets", MarketFinder())
    sold = wf.map("integration", lambda market: Integration(market=market), over=markets.output.market_ids)
    wf.add("publish", Publish(results=sold.output))

``node.output`` has the type of what the job returns, so that type checkers see every wire; here it is a reference.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from klassd.workflows.building import NodeBuild, OnEmpty, Spec, optional_inputs, pod_of
from klassd.workflows.containers import Container, FileOutput
from klassd.workflows.errors import ConfigurationError, InvalidWorkflow
from klassd.workflows.fields import Field, Fields, encode, field_schema, to_json
from klassd.workflows.job import JobFunction, JobInfo, job_info
from klassd.workflows.job_options import ClassOptions, NodeOptions
from klassd.workflows.model import workflow as model
from klassd.workflows.nodes import AnyNode, Items, Node, Runs, call, not_
from klassd.workflows.references import Condition, Reference, ReferenceMisuse, Wire, wire_of
from klassd.workflows.rules import graph
from klassd.workflows.services import READY_WITHIN, Http, ServiceNode, Tcp, check_image, service_of
from klassd.workflows.shapes import element
from klassd.workflows.wiring import Wiring

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - the item of a fan-out

_REQUIRED: Any = object()


class Workflow:
    """A graph of jobs, known by ``name``. Build it at the top level of a module; give it to ``App`` or ``client.enqueue``."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"a workflow's name is {name!r}: expected text")
        self.name = name
        self._specs: list[Spec] = []
        self._params: dict[str, Field] = {}
        self._returns: Any = None
        self._problems: list[str] = []
        self._built: dict[str, model.Definition] = {}

    def __repr__(self) -> str:
        return f"<workflow {self.name!r} of {len(self._specs)} nodes>"

    # -- building -----------------------------------------------------------------------------------------------

    @overload
    def add(
        self,
        name: str,
        job: Runs[Coroutine[Any, Any, T]],
        *,
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> Node[T]: ...
    @overload
    def add(
        self,
        name: str,
        job: Runs[T],
        *,
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> Node[T]: ...
    def add(
        self,
        name: str,
        job: Runs[Any],
        *,
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> Node[Any]:
        """Add one execution of ``job``, a job instance. Its inputs may hold references: they are its dependencies.

        ``after``: nodes it waits for without taking their data. ``when``: a condition; where it is false the node is omitted,
        and what depends on it goes on without its data. Other options are as of ``Job`` and go before the job's own.
        What is wrong is said by ``definition``, all at once.
        """
        info = _info(name, job)
        return self._append(Spec(name, info, job, after, when, options), info.returns)

    @overload
    def map(
        self,
        name: str,
        make: Callable[[I], Runs[Coroutine[Any, Any, T]]],
        *,
        over: Items[I],
        max_parallel: int | None = None,
        on_empty: OnEmpty = "omit",
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> Node[list[T]]: ...
    @overload
    def map(
        self,
        name: str,
        make: Callable[[I], Runs[T]],
        *,
        over: Items[I],
        max_parallel: int | None = None,
        on_empty: OnEmpty = "omit",
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> Node[list[T]]: ...
    def map(
        self,
        name: str,
        make: Callable[[Any], Runs[Any]],
        *,
        over: Items[Any],
        max_parallel: int | None = None,
        on_empty: OnEmpty = "omit",
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> Node[Any]:
        """Add one execution per item of ``over``, a list or a reference to one: ``make(item)`` gives its job instance.

        ``make`` is called once, now, with a reference to the item. ``max_parallel``: at most so many items at a time.
        ``on_empty``: what becomes of the node when there is no item: "omit", "succeed" (with ``[]``) or "fail". The other
        options are as of ``add``.
        """
        item = Reference(Wire(self, {"$item": []}, f"{name}'s item", _item_type(over), item_of=name))
        job = make(item)
        info = _info(name, job)
        returns: Any = types.GenericAlias(list, (info.returns,))
        return self._append(Spec(name, info, job, after, when, options, over, max_parallel, on_empty), returns)

    def service(
        self,
        name: str,
        job: Runs[Any],
        *,
        ready: Tcp | Http | None = None,
        port: int | None = None,
        ready_within: str | float | None = READY_WITHIN,
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[NodeOptions],
    ) -> ServiceNode:
        """Add a job that stays up for the nodes that use it: those that take its address, or come ``after`` it.

        They start when it is ready, and it is stopped when nothing is left that could use it; one that ends earlier has
        failed, and so have they. ``ready``: ``Tcp()`` or ``Http("/health")`` asks at its ``port``; without it the job says so
        itself, with ``ctx.signal_ready()``. ``port``: where it listens; 0: at a free port, which ``ctx.port`` tells.
        ``ready_within``: of its start, else it fails; None: whenever. It runs at most for its ``timeout``, else a day.
        An image (``Container``) has nobody to signal, so it takes a probe, and the port it listens at whoever runs it.
        """
        info = _info(name, job)
        service = service_of(name, ready, port, ready_within)
        if info.container is not None:
            check_image(name, info.container, service)
        self._add_spec(Spec(name, info, job, after, when, options, service=service))
        return ServiceNode(self, name)

    def container(
        self,
        name: str,
        image: str,
        *,
        command: Sequence[str] = (),
        args: Sequence[Any] = (),
        env: Mapping[str, Any] | None = None,
        outputs: Mapping[str, FileOutput] | None = None,
        after: Sequence[AnyNode] = (),
        when: Condition | bool | None = None,
        **options: Unpack[ClassOptions],
    ) -> Node[dict[str, Any]]:
        """Add one execution of an image: short for ``add(name, Container(image, ...))``. Its output are its file outputs by
        name. Raises ``ConfigurationError`` as ``Container`` does."""
        made = Container(image, command=command, args=args, env=env, outputs=outputs, **options)
        return self.add(name, made, after=after, when=when)

    def _append(self, spec: Spec, returns: Any) -> Node[Any]:
        self._add_spec(spec)
        return Node(self, spec.name, returns)

    def _add_spec(self, spec: Spec) -> None:
        self._specs.append(spec)
        self._built.clear()

    @overload
    def param(self, name: str, type: type[T], *, default: T = ...) -> T: ...
    @overload
    def param(self, name: str, type: types.UnionType, *, default: Any = ...) -> Any: ...
    def param(self, name: str, type: Any, *, default: Any = _REQUIRED) -> Any:
        """Declare a parameter of the run: ``client.enqueue(wf, params={"market": "dk"})``. Required unless it has a default."""
        if name in self._params:
            self._problems.append(f"parameter {name!r} is declared twice")
        given = default is not _REQUIRED
        self._params[name] = Field(name, type, required=not given, default=(lambda: default) if given else None)
        self._built.clear()
        return Reference(Wire(self, {"$param": name}, f"param {name!r}", type))

    def returns(self, value: object) -> None:
        """Say what a run of this workflow gives: a reference, or data that holds some. Without it a run gives null."""
        if self._returns is not None:
            self._problems.append("returns() is called twice; give all of it in one, as a dict or a list")
        self._returns = value
        self._built.clear()

    # -- using --------------------------------------------------------------------------------------------------

    def definition(self, app: str = "") -> model.Definition:
        """The workflow as data, checked. Raises ``InvalidWorkflow`` with all problems."""
        if app not in self._built:
            self._built[app] = self._build(app)
        return self._built[app]

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of one run as JSON, defaults filled in. Raises ``InvalidInput`` with all problems."""
        given = Fields(self.name, self._params.values()).encode(params)
        defaults = {name: to_json(field.default()) for name, field in self._params.items() if field.default}
        return defaults | given

    def _build(self, app: str) -> model.Definition:
        problems = [*self._problems, *self._param_problems()]
        strange: list[str] = []  # uses of what is not in this workflow: what the graph says of those would only repeat it
        definition = model.Definition(
            name=self.name,
            nodes=tuple(self._node(spec, problems, strange) for spec in self._specs),
            returns=self._return_value(problems, strange),
            params={name: _schema_of(field) for name, field in self._params.items()},
            app=app,
        )
        problems += [each for each in graph.problems(definition) if not each.startswith(tuple(strange))]
        if problems:
            raise InvalidWorkflow(self.name, list(dict.fromkeys(problems)))
        return definition

    def _param_problems(self) -> Iterator[str]:
        for field in self._params.values():
            try:
                field_schema(field)
                if field.default is not None:
                    encode(field, field.default())
            except (TypeError, ValueError) as error:
                yield f"parameter {field.name!r}: {str(error).removeprefix(f'field {field.name!r}: ')}"

    def _return_value(self, problems: list[str], strange: list[str]) -> Any:
        wiring = Wiring()
        data = wiring.value(self._returns, Any, "value")
        self._note("returns: ", "", wiring, problems, strange)
        return data

    def _node(self, spec: Spec, problems: list[str], strange: list[str]) -> model.Node:
        """``spec`` as data; what is wrong with it goes to ``problems``."""
        build = NodeBuild(spec)
        node = build.node()
        self._note(f"node {spec.name!r}: ", spec.name, build, problems, strange)
        return node

    def _note(self, place: str, user: str, built: Wiring | NodeBuild, problems: list[str], strange: list[str]) -> None:
        strangers = list(self._strangers(built.wires, user))
        problems += [place + each for each in [*built.problems, *strangers]]
        strange += [place] if strangers else []

    def _strangers(self, wires: Sequence[Wire], user: str) -> Iterator[str]:
        """References that mean nothing here."""
        for wire in wires:
            if wire.workflow is not self:
                yield f"{wire.text} belongs to another workflow"
            elif wire.item_of and wire.item_of != user:
                yield f"{wire.text} can only be used inside the map that makes it"


def job_definition(info: JobInfo, app: str = "") -> model.Definition:
    """A plain job as a workflow of one node. The inputs are the run's parameters, so all its runs share one definition."""
    node = model.Node(
        name=info.key,
        job=info.key,
        source=info.source,
        inputs={field.name: {"$param": field.name} for field in info.fields},
        optional=optional_inputs(info),
        options=info.options,
        pod=pod_of(info),
        container=info.container,
    )
    params = {field.name: field_schema(field) for field in info.fields}
    return model.Definition(
        name=info.key, nodes=(node,), kind="job", returns={"$ref": info.key, "path": []}, params=params, app=app
    )


def _info(name: object, job: object) -> JobInfo:
    """Of the job of a node. Raises TypeError when it is none."""
    if isinstance(job, type | JobFunction):
        shown = job.__name__
        raise TypeError(f"node {name!r}: {shown} is a job, not a call of it; give it its inputs: {shown}(...)")
    try:
        return job_info(job)
    except TypeError as error:
        raise TypeError(f"node {name!r}: {error}") from None


def _item_type(over: object) -> Any:
    if isinstance(over, Reference):
        return element(wire_of(over).type) or Any
    kinds = {type(each) for each in over} if isinstance(over, list | tuple) else set()
    return kinds.pop() if len(kinds) == 1 and Reference not in kinds else Any


def _schema_of(field: Field) -> dict[str, Any]:
    try:
        return field_schema(field)
    except TypeError:  # said by _param_problems
        return {}


__all__ = [
    "AnyNode",
    "Condition",
    "Http",
    "Node",
    "ReferenceMisuse",
    "ServiceNode",
    "Tcp",
    "Workflow",
    "call",
    "job_definition",
    "not_",
]

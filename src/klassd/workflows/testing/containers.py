"""What stands in for an image in a test, which has no engine to run it: the test says what comes of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from klassd.workflows.containers.files import value_of
from klassd.workflows.errors import KlassdError
from klassd.workflows.order import ContainerSpec, Order
from klassd.workflows.testing.recording import RecordingContext
from klassd.workflows.testing.script import ABSENT


def stand_in(order: Order, spec: ContainerSpec, instance: object, stub: Any) -> Callable[[RecordingContext], Any]:
    """``stub``: its file outputs by name, or a function of the container and its context that returns them, sync or async."""
    if stub is ABSENT:
        raise KlassdError(f"node {order.node!r} runs the image {spec.image}, which a test cannot: {_cure(order, spec)}")

    def leave(context: RecordingContext, found: Any) -> None:
        for name, value in _outputs(order, spec, found).items():
            context.set_output(name, value)

    async def leave_later(context: RecordingContext, found: Coroutine[Any, Any, Any]) -> None:
        leave(context, await found)

    def run(context: RecordingContext) -> Any:
        found = stub(instance, context) if callable(stub) else stub
        return (leave_later if inspect.iscoroutine(found) else leave)(context, found)

    return run


def _cure(order: Order, spec: ContainerSpec) -> str:
    if order.service is not None:
        return f"say that it is up with stubs={{{order.node!r}: None}}, or a function of the container and its context"
    return (
        f"say what comes of it with stubs={{{order.node!r}: {_example(spec)}}}, its file outputs,"
        " or a function of the container and its context"
    )


def _outputs(order: Order, spec: ContainerSpec, given: Any) -> dict[str, Any]:
    """As if the container had left these files and no others."""
    files = {} if given is None else given
    if not isinstance(files, Mapping):
        raise KlassdError(f"the stub of {order.node!r} gives {given!r}: expected its file outputs, such as {_example(spec)}")
    if unknown := [name for name in files if name not in spec.outputs]:
        known = ", ".join(map(repr, spec.outputs)) or "none"
        raise KlassdError(f"the stub of {order.node!r} gives the output {unknown[0]!r}; its file outputs are {known}")
    return {name: files[name] if name in files else value_of(name, file, None) for name, file in spec.outputs.items()}


def _example(spec: ContainerSpec) -> dict[str, Any]:
    return {name: 0 if file.default is msgspec.UNSET else file.default for name, file in spec.outputs.items()}

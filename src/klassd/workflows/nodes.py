"""A node as its workflow's author holds it, and conditions that functions decide."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, SupportsIndex, TypeVar, cast

from klassd.workflows.context import JobContext
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.importable import source_of
from klassd.workflows.model import workflow as model
from klassd.workflows.references import Condition, Reference, ReferenceMisuse, Wire, condition
from klassd.workflows.wiring import Wiring

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)
I_co = TypeVar("I_co", covariant=True)


class Runs(Protocol[T_co]):
    """A job instance: ``run(ctx, ...)`` returns ``T_co``."""

    @property
    def run(self) -> Callable[Concatenate[JobContext, ...], T_co]: ...


class Items(Protocol[I_co]):
    """A list or tuple of items; text is none."""

    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: SupportsIndex, /) -> I_co: ...
    def __iter__(self) -> Iterator[I_co]: ...


class AnyNode:
    """A node of a workflow, whatever it gives."""

    __klassd_node__ = ""  # where its value is
    _condition = "failed"  # one that when= takes

    def __init__(self, workflow: object, name: str) -> None:
        self._workflow = workflow
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def failed(self) -> Condition:
        """True when it failed, after all retries. A node that runs on it makes the failure a handled one."""
        return self._outcome("failed")

    def _outcome(self, outcome: Literal["failed", "succeeded"]) -> Condition:
        return Condition(model.Outcome(self._name, outcome), [self._wire({}, f"{self._name}.{outcome}", bool)])

    def _wire(self, root: dict[str, Any], text: str, type_: Any) -> Wire:
        return Wire(self._workflow, root, text, type_, node=self._name)

    def _missing(self, name: str) -> str:
        return f"{self!r} has no {name!r}; what its job returns is under .output"

    def __repr__(self) -> str:
        return f"<node {self._name!r}>"

    def __bool__(self) -> bool:
        raise ReferenceMisuse(
            f"{self!r} is neither true nor false while the workflow is built; when= takes {self._name}.{self._condition}"
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(self._missing(name))


class Node(AnyNode, Generic[T_co]):
    """A node that has an output. Made by ``Workflow.add`` and ``Workflow.map``."""

    __klassd_node__ = ".output"
    _condition = "succeeded"

    def __init__(self, workflow: object, name: str, returns: Any) -> None:
        super().__init__(workflow, name)
        self._returns = returns

    @property
    def output(self) -> T_co:
        """What its job returns; of a fan-out the list of what its items return, in item order."""
        return cast(T_co, Reference(self._wire({"$ref": self._name}, f"{self._name}.output", self._returns)))

    def outputs(self, name: str) -> Any:
        """What its job gives to ``ctx.set_output(name, ...)``; of a fan-out the list of it."""
        return Reference(self._wire({"$ref": self._name, "output": name}, f"{self._name}.outputs({name!r})", Any))

    @property
    def succeeded(self) -> Condition:
        """True when it succeeded."""
        return self._outcome("succeeded")


def call(function: Callable[P, bool], /, *args: P.args, **kwargs: P.kwargs) -> Condition:
    """A condition that a function decides when its data is known: ``when=call(needs_report, status=proxy.output.status)``.

    The scheduler imports and calls it, so it is a plain function at the top level of a module, quick and without effects.
    Raises ``ConfigurationError`` for a lambda or a local function: a run is stored, and only a name can be.
    """
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"condition {function.__qualname__} is async: a condition decides at once; make it a plain def"
        )
    source = source_of(function, "condition")
    arguments = inspect.signature(function).bind(*args, **kwargs).arguments
    hints = inspect.get_annotations(function, eval_str=True)
    wiring = Wiring()
    data = {name: wiring.value(each, hints.get(name, Any), name) for name, each in arguments.items()}
    return Condition(model.Call(source, data), wiring.wires, [f"call({function.__name__}): {each}" for each in wiring.problems])


def not_(condition_: Condition | bool) -> Condition:
    """The opposite. ``~`` does the same; type checkers take ``~`` of a comparison for a number, not for a condition."""
    return ~condition(condition_)

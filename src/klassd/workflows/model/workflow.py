"""A workflow as plain data: what a run carries as its snapshot.

References stand inside a node's inputs as JSON objects with one reserved key:

    {"$ref": "data-proxy", "path": ["dataset"]}     the output of another node, or a part of it
    {"$ref": "data-proxy", "output": "rows", "path": []}     what it gave to ``ctx.set_output("rows", ...)``
    {"$ref": "db", "service": "address", "path": []}         of a service: its "address", "host" or "port"
    {"$item": ["id"]}                               the item of this node's own fan-out, or a part of it
    {"$param": "market"}                            a parameter of the run; with "path" a part of it
    {"$literal": {...}}                             user data that happens to use one of these keys

``rules.inputs`` is the only reader of that form, ``workflow.py`` (the builder) its only writer.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from klassd.workflows.options import Options, Service
from klassd.workflows.order import ContainerSpec
from klassd.workflows.pod_shape import PodShape


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """``left OP right``; either side is JSON and may hold references."""

    op: Literal["==", "!=", "<", "<=", ">", ">="]
    left: Any
    right: Any


class Truth(msgspec.Struct, frozen=True, tag="truth"):
    """The value itself, which must be a boolean."""

    value: Any


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """``node.failed`` or ``node.succeeded``."""

    node: str
    is_: Literal["failed", "succeeded"] = msgspec.field(name="is")


class All(msgspec.Struct, frozen=True, tag="all"):
    of: tuple[Condition, ...]


class AnyOf(msgspec.Struct, frozen=True, tag="any"):
    of: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    of: Condition


class Call(msgspec.Struct, frozen=True, tag="call"):
    """An importable function of the run's outputs: ``module:name`` called with the arguments given as data."""

    function: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


Condition = Compare | Truth | Outcome | All | AnyOf | Not | Call


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node of a workflow."""

    name: str
    job: str  # the job's key, as shown
    source: str  # where to import it: "module:qualname"
    inputs: dict[str, Any] = msgspec.field(default_factory=dict)
    needs: tuple[str, ...] = ()  # every node that must be final first, or ready if it is a service, whatever the reason
    optional: tuple[str, ...] = ()  # names of inputs that accept null, so that an omitted node may feed them
    when: Condition | None = None
    over: Any = msgspec.UNSET  # a reference or a list: one task per item; UNSET for a plain node
    max_parallel: int | None = None
    on_empty: Literal["omit", "succeed", "fail"] = "omit"
    options: Options = Options()
    pod: PodShape | None = None  # what its job and the node itself say of its pods
    service: Service | None = None  # it stays up for the nodes that use it
    container: ContainerSpec | None = None  # an image to run; ``inputs`` then hold its "args" and "env"

    @property
    def mapped(self) -> bool:
        return self.over is not msgspec.UNSET


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole workflow. A plain job is a workflow of one node that bears the job's key as its name."""

    name: str
    nodes: tuple[Node, ...]
    kind: Literal["job", "workflow"] = "workflow"
    returns: Any = None  # JSON with references: the run's output; for a job, the output of its one node
    params: dict[str, Any] = msgspec.field(default_factory=dict)  # declared run parameters: name -> JSON Schema
    app: str = ""  # "module:attribute" of the App that provides services, if any

    def encoded(self) -> bytes:
        return msgspec.json.encode(self, order="deterministic")

    def hash(self) -> str:
        """The key its snapshot is stored under: equal definitions are stored once."""
        import hashlib  # half a megabyte with OpenSSL, which no job's process needs for it

        return hashlib.sha256(self.encoded()).hexdigest()[:32]


def definition_from(encoded: bytes) -> Definition:
    return msgspec.json.decode(encoded, type=Definition)

"""Services: nodes that stay up for the nodes that use them.

A node *relies* on the services among its needs, unless its condition speaks of their outcome. It starts when they are ready;
it fails when one of them ends before it does, and is not tried again: nothing could mend it.

What *could use* a service keeps it up: whoever needs it, and whoever gets data from one that could. An address travels with
data only, so a node that merely comes ``after`` those does not count. When all of them are final the service is stopped,
and that end is its success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node
from klassd.workflows.options import Service
from klassd.workflows.rules import conditions
from klassd.workflows.rules.inputs import refs_in
from klassd.workflows.rules.lifecycle import Verdict

if TYPE_CHECKING:
    from klassd.workflows.rules.state import NodeState, RunState

BAD = frozenset({NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED})
UP = frozenset({NodeStatus.RUNNING, NodeStatus.READY})


def users(definition: Definition) -> dict[str, set[str]]:
    """By service: the names of all nodes that could use it."""
    services = [node.name for node in definition.nodes if node.service is not None]
    if not services:
        return {}
    fed = _fed(definition)
    direct = {name: {node.name for node in definition.nodes if name in node.needs} for name in services}
    return {name: _closed(first, fed) for name, first in direct.items()}


def _fed(definition: Definition) -> Mapping[str, list[str]]:
    """By node: those that its data goes into."""
    fed: dict[str, list[str]] = {}
    for node in definition.nodes:
        for source in refs_in([*node.inputs.values(), node.over if node.mapped else None]):
            fed.setdefault(source, []).append(node.name)
    return fed


def _closed(first: Iterable[str], fed: Mapping[str, list[str]]) -> set[str]:
    found = set(first)
    pending = list(found)
    while pending:
        new = set(fed.get(pending.pop(), ())) - found
        found |= new
        pending += new
    return found


def relied_on(node: Node, services: Iterable[str]) -> list[str]:
    """Of ``services``, those it cannot do without."""
    spoken = conditions.outcomes(node.when) if node.when is not None else set()
    return [name for name in services if name in node.needs and name not in spoken]


# -- the verdict --------------------------------------------------------------------------------------------------------


def fallen(node: NodeState, status_of: Callable[[str], NodeStatus]) -> NodeState | None:
    """A service it relies on that came to a bad end."""
    return next((service for service in node.relies if status_of(service.node.name) in BAD), None)


def judged(state: RunState, name: str, verdict: Verdict) -> Verdict:
    """What the end of an attempt is, seen that its node is a service or uses some. Twice is as good as once."""
    node = state.nodes[name]
    if node.node.service is not None and node.status is NodeStatus.READY and node.users == 0:
        return _torn_down(verdict)
    if node.node.service is not None and verdict.status is ExecutionStatus.SUCCEEDED:
        verdict = _too_early(node, verdict)
    if node.node.service is not None and verdict.cause is Cause.NOT_READY:
        verdict = msgspec.structs.replace(verdict, message=_not_ready(node.node.service))
    gone = fallen(node, state.node_status) if state.status is RunStatus.RUNNING else None
    return verdict if gone is None or verdict.status is ExecutionStatus.SUCCEEDED else _without(gone, verdict)


def _torn_down(verdict: Verdict) -> Verdict:
    killed = verdict.status is not ExecutionStatus.SUCCEEDED and "killed" in (verdict.message or "")
    warnings = ("when it was torn down it did not end within its grace and was killed",) if killed else ()
    return Verdict(status=ExecutionStatus.SUCCEEDED, exit_code=verdict.exit_code, warnings=(*verdict.warnings, *warnings))


def _not_ready(service: Service) -> str:
    lacks = {
        "signal": "it never called ctx.signal_ready()",
        "tcp": f"nothing accepted connections at port {service.port or 'ctx.port'}",
        "http": f"GET {service.path} at port {service.port or 'ctx.port'} was never answered well",
    }
    within = f" within {service.ready_within:g} s of its start" if service.ready_within is not None else " in time"
    return f"it was not ready{within}: {lacks[service.ready]}"


def _without(gone: NodeState, verdict: Verdict) -> Verdict:
    """It was stopped because its service had ended, or failed for whatever reason after that."""
    said = said_of(gone)
    if verdict.cause is Cause.SERVICE:
        return verdict
    if verdict.status is ExecutionStatus.STOPPED:
        return msgspec.structs.replace(
            verdict, status=ExecutionStatus.FAILED, cause=Cause.SERVICE, message=f"stopped: {said}", retry=False
        )
    told = verdict.message if said in (verdict.message or "") else f"{verdict.message}; {said}"
    return msgspec.structs.replace(verdict, message=told, retry=False)


def said_of(gone: NodeState) -> str:
    how = f": {gone.error}" if gone.error else ""
    return f"its service {gone.node.name} {_CAME_TO.get(gone.status, f'was {gone.status}')}{how}"


_CAME_TO = {NodeStatus.FAILED: "failed"}


def _too_early(node: NodeState, verdict: Verdict) -> Verdict:
    ready = node.status is NodeStatus.READY
    before = "the nodes that use it had ended" if ready else "it was ready"
    return msgspec.structs.replace(
        verdict,
        status=ExecutionStatus.FAILED,
        cause=Cause.EXIT,
        message=f"it ended by itself before {before}",
        retry=not ready,
        output=None,
        outputs={},
    )

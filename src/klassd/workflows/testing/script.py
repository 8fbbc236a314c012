"""What a test wants to happen to executions: failures, kills, stand-ins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from klassd.workflows.errors import UnknownName
from klassd.workflows.model.execution import Exit
from klassd.workflows.order import Order
from klassd.workflows.testing.deaths import How, death

ABSENT = object()
Kills = int | How | Sequence[How]


class ScriptedFailure(Exception):
    """Raised in a job's place because the test asked for it."""


@dataclass(frozen=True, slots=True)
class Script:
    """Each by the name of a node, or ``"node[2]"`` for one item of a fan-out (counted from 0).

    ``fail``: how many first attempts raise, or the exception that every attempt raises. ``kill``: how the first attempts die
    before their first line: "evicted", ["evicted", "oom"], or a number of them that are killed by signal 9. ``stubs``: what
    stands in for the job: a value to return, or a function of the job instance and its context, sync or async. What stands in
    for a service is ready at once, or when the function returns, and stays up until it is stopped.
    """

    fail: Mapping[str, int | BaseException] = field(default_factory=dict)
    kill: Mapping[str, Kills] = field(default_factory=dict)
    stubs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kills in self.kill.values():
            _deaths(kills)

    def failure(self, order: Order) -> BaseException | None:
        planned = _of(self.fail, order, 0)
        if isinstance(planned, BaseException):
            return planned
        return ScriptedFailure(f"attempt {order.attempt} fails by script") if order.attempt <= planned else None

    def death(self, order: Order) -> Exit | None:
        """How this attempt dies at its start."""
        return dict(enumerate(_deaths(_of(self.kill, order, 0)), 1)).get(order.attempt)

    def stub(self, order: Order) -> Any:
        """``ABSENT``: the job itself."""
        return _of(self.stubs, order, ABSENT)

    def check(self, nodes: Iterable[str]) -> None:
        """Raises UnknownName for a name that is no node's: a script that never applies proves nothing."""
        known = list(nodes)
        for name in (*self.fail, *self.kill, *self.stubs):
            node = name.partition("[")[0] if name.endswith("]") else name
            if name not in known and node not in known:
                from difflib import get_close_matches

                raise UnknownName("node", node, get_close_matches(node, known, n=2), len(known))


def _deaths(kills: Kills) -> list[Exit]:
    ways: Sequence[str] = ["signal"] * kills if isinstance(kills, int) else [kills] if isinstance(kills, str) else kills
    return [death(how) for how in ways]


def _of(plan: Mapping[str, Any], order: Order, default: Any) -> Any:
    return plan.get(f"{order.node}[{order.index}]", plan.get(order.node, default))

"""What a run must come to, the slow and obvious way: node by node in order of needs, every task's outcome known beforehand.

Deliberately written without any of the rules, to disagree with them where they are wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import All, AnyOf, Compare, Condition, Definition, Node, Not, Outcome

S, F, X, O, C = NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.OMITTED, NodeStatus.CANCELLED  # noqa: E741
BAD = (F, X, C)
# (node, index) -> whether the task succeeds in the end (None: it was stopped), and its output
Final = Callable[[str, int], tuple[bool | None, Any]]
_OPS: dict[str, Any] = {"==": operator.eq, "<": operator.lt}


class Reference:
    def __init__(self, definition: Definition, final: Final) -> None:
        self.status: dict[str, NodeStatus] = {}
        self.values: dict[str, Any] = {}
        self.tasks: dict[str, int] = {}
        for node in definition.nodes:  # the generator puts needs first
            self.tasks[node.name] = 0
            self.status[node.name] = self._node(node, final)
            if node.mapped and self.status[node.name] is O:
                self.values[node.name] = []
        handled = {
            name for node in definition.nodes if node.when and self.status[node.name] is S for name in _failed_in(node.when)
        }
        unhandled = [name for name, status in self.status.items() if status is C or (status is F and name not in handled)]
        self.run = RunStatus.FAILED if unhandled else RunStatus.SUCCEEDED

    def _node(self, node: Node, final: Final) -> NodeStatus:
        spoken = _outcomes_in(node.when) if node.when else set()
        if any(self.status[need] in BAD for need in node.needs if need not in spoken):
            return X
        if node.when is not None and (answer := self._holds(node.when)) is not True:
            return O if answer is False or answer is O else X
        fed = [value["$ref"] for name, value in node.inputs.items() if "$ref" in value and name not in node.optional]
        if any(self.status[name] in BAD for name in fed):
            return X
        if any(name not in self.values for name in fed):
            return O
        items = self._items(node)
        if items is None:
            return O if self.status[node.over["$ref"]] is O else X
        if not items:
            if node.on_empty == "succeed":
                self.values[node.name] = []
            return {"omit": O, "succeed": S, "fail": F}[node.on_empty]
        self.tasks[node.name] = len(items)
        results = [final(node.name, index) for index in range(len(items))]
        if not all(succeeded for succeeded, _ in results):
            return C if any(succeeded is None for succeeded, _ in results) else F
        outputs = [output for _, output in results]
        self.values[node.name] = outputs if node.mapped else outputs[0]
        return S

    def _items(self, node: Node) -> list[Any] | None:
        if not node.mapped:
            return [None]
        if isinstance(node.over, list):
            return node.over
        if node.over["$ref"] not in self.values:
            return None
        found: Any = self.values[node.over["$ref"]]
        items: list[Any] = found[node.over["path"][0]] if node.over["path"] else found
        return items

    def _holds(self, condition: Condition) -> bool | NodeStatus:
        """True, False, or the status of the node whose missing output leaves it open."""
        match condition:
            case Outcome(node, is_):
                return self.status[node] is (F if is_ == "failed" else S)
            case Compare(op, left, right):
                name = left["$ref"]
                return _OPS[op](self.values[name]["n"], right) if name in self.values else self.status[name]
            case Not(of):
                answer = self._holds(of)
                return answer if isinstance(answer, NodeStatus) else not answer
            case All(of) | AnyOf(of):
                decisive = isinstance(condition, AnyOf)
                answers = [self._holds(part) for part in of]
                if decisive in answers:
                    return decisive
                return next((answer for answer in answers if isinstance(answer, NodeStatus)), not decisive)
        raise AssertionError(condition)


def _parts(condition: Condition) -> list[Condition]:
    inner = condition.of if isinstance(condition, All | AnyOf) else [condition.of] if isinstance(condition, Not) else []
    return [condition, *(deeper for part in inner for deeper in _parts(part))]


def _outcomes_in(condition: Condition) -> set[str]:
    return {part.node for part in _parts(condition) if isinstance(part, Outcome)}


def _failed_in(condition: Condition) -> set[str]:
    return {part.node for part in _parts(condition) if isinstance(part, Outcome) and part.is_ == "failed"}

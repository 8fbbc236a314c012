"""What a run must come to, the slow and obvious way: node by node in order of needs, every task's outcome known beforehand.

Deliberately written without any of the rules, to disagree with them where they are wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.model.workflow import All, AnyOf, Call, Compare, Condition, Definition, Node, Not, Outcome, Truth

S, F, X, O, C = NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.OMITTED, NodeStatus.CANCELLED  # noqa: E741
BAD = (F, X, C)
# (node, index) -> whether the task succeeds in the end (None: it was stopped), and its output
Final = Callable[[str, int], tuple[bool | None, Any]]
Named = Callable[[str, int], dict[str, Any]]  # (node, index) -> what it gives to ctx.set_output
Outlived = Callable[[str, str], bool]  # (service, node) -> whether it failed only after that node had begun
Ended = Callable[[str, int], bool]  # (node, index) -> whether the task had ended when the run was cancelled
_OPS: dict[str, Any] = {"==": operator.eq, "<": operator.lt}


class _Open(Exception):
    """A node has no output, which its status explains."""


class _Wrong(Exception):
    """A reference that leads nowhere, or a function without an answer."""


class Reference:
    """``call`` answers for functions. With ``ended`` the run was cancelled at that moment."""

    def __init__(
        self,
        definition: Definition,
        final: Final,
        *,
        params: Mapping[str, Any] | None = None,
        named: Named = lambda node, index: {},
        call: Callable[[str, dict[str, Any]], object] | None = None,
        ended: Ended | None = None,
        outlived: Outlived = lambda service, node: False,
    ) -> None:
        self._final, self._named, self._call, self._outlived = final, named, call, outlived
        self._services = {node.name for node in definition.nodes if node.service is not None}
        self._params = {name: schema["default"] for name, schema in definition.params.items() if "default" in schema}
        self._params |= params or {}
        self._mapped = {node.name for node in definition.nodes if node.mapped}
        self.status: dict[str, NodeStatus] = {}
        self._values: dict[tuple[str, str | None], Any] = {}  # by node and the name of an output, None for what it returned
        self.tasks: dict[str, int] = {}
        over: set[str] = set()  # nodes that have come to their end, or had when the run was cancelled
        for node in definition.nodes:  # the generator puts needs first
            name = node.name
            self.tasks[name] = 0
            self.status[name] = self._node(node) if over.issuperset(node.needs) else C
            if ended is None or (self.status[name] is not C and all(ended(name, n) for n in range(self.tasks[name]))):
                over.add(name)
        self.run, self.output = self._verdict(definition, RunStatus.FAILED if ended is None else RunStatus.CANCELLED)

    def _verdict(self, definition: Definition, otherwise: RunStatus) -> tuple[RunStatus, Any]:
        succeeded = [node for node in definition.nodes if node.when and self.status[node.name] is S]
        handled = {name for node in succeeded if node.when for name in _failed_in(node.when)}
        if any(status is C or (status is F and name not in handled) for name, status in self.status.items()):
            return otherwise, None
        try:
            return RunStatus.SUCCEEDED, self._filled(definition.returns)
        except _Wrong:
            return otherwise, None

    def _node(self, node: Node) -> NodeStatus:
        spoken = _outcomes_in(node.when) if node.when else set()
        if any(self.status[need] in BAD and not self._was_up(need, node) for need in node.needs if need not in spoken):
            return X
        try:
            if node.when is not None and not self._holds(node.when):
                return O
            fed = [value["$ref"] for name, value in node.inputs.items() if "$ref" in value and name not in node.optional]
            fed = [name for name in fed if not self._was_up(name, node)]
            for name in sorted(fed, key=lambda name: self.status[name] not in BAD):  # one that came to a bad end says more
                self._output(name, None)
            items = self._value(node.over) if node.mapped else [None]
        except _Open as lacking:
            return O if lacking.args[0] is O else X
        except _Wrong:
            return F
        return self._tasks(node, len(items)) if items else {"omit": O, "succeed": S, "fail": F}[node.on_empty]

    def _was_up(self, need: str, node: Node) -> bool:
        """A service that was ready when it mattered for this node."""
        return need in self._services and self._outlived(need, node.name)

    def _tasks(self, node: Node, count: int) -> NodeStatus:
        self.tasks[node.name] = count
        results = [self._final(node.name, index) for index in range(count)]
        if not all(succeeded for succeeded, _ in results):
            return C if any(succeeded is None for succeeded, _ in results) else F
        self._keep(node, None, [output for _, output in results])
        named = [self._named(node.name, index) for index in range(count)]
        for key in set.intersection(*map(set, named)):
            self._keep(node, key, [outputs[key] for outputs in named])
        return S

    def _keep(self, node: Node, key: str | None, outputs: list[Any]) -> None:
        self._values[node.name, key] = outputs if node.mapped else outputs[0]

    def _holds(self, condition: Condition) -> bool:
        match condition:
            case Outcome(node, is_):
                return self.status[node] is (F if is_ == "failed" else S)
            case Compare(op, left, right):
                return bool(_OPS[op](self._value(left), self._value(right)))
            case Truth(value):
                return self._value(value) is True
            case Call(function, arguments):
                return self._answer(function, {name: self._value(value) for name, value in arguments.items()})
            case Not(of):
                return not self._holds(of)
            case All(of) | AnyOf(of):
                return self._together(of, isinstance(condition, AnyOf))
        raise AssertionError(condition)

    def _together(self, parts: tuple[Condition, ...], decisive: bool) -> bool:
        lacking = None
        for part in parts:
            try:
                if self._holds(part) is decisive:
                    return decisive
            except _Open as found:
                lacking = lacking or found
        if lacking is not None:
            raise lacking
        return not decisive

    def _answer(self, function: str, arguments: dict[str, Any]) -> bool:
        assert self._call is not None
        try:
            answer = self._call(function, arguments)
        except Exception as error:
            raise _Wrong from error
        if not isinstance(answer, bool):
            raise _Wrong
        return answer

    def _filled(self, returns: Any) -> Any:
        """With null for what is not there."""
        if isinstance(returns, dict) and not {"$ref", "$param"} & returns.keys():
            return {name: self._filled(value) for name, value in returns.items()}
        try:
            return self._value(returns)
        except _Open:
            return None

    def _value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = self._params[value["$param"]] if "$param" in value else self._output(value["$ref"], value.get("output"))
        try:
            for part in value.get("path", ()):
                found = found[part]
        except (KeyError, IndexError, TypeError) as error:
            raise _Wrong from error
        return found

    def _output(self, name: str, key: str | None) -> Any:
        if name in self._mapped and self.tasks[name] == 0 and self.status[name] in (O, S):
            return []  # a fan-out that had nothing to do
        if self.status[name] is not S:
            raise _Open(self.status[name])
        if (name, key) not in self._values:
            raise _Wrong
        return self._values[name, key]


def _parts(condition: Condition) -> list[Condition]:
    inner = condition.of if isinstance(condition, All | AnyOf) else [condition.of] if isinstance(condition, Not) else []
    return [condition, *(deeper for part in inner for deeper in _parts(part))]


def _outcomes_in(condition: Condition) -> set[str]:
    return {part.node for part in _parts(condition) if isinstance(part, Outcome)}


def _failed_in(condition: Condition) -> set[str]:
    return {part.node for part in _parts(condition) if isinstance(part, Outcome) and part.is_ == "failed"}

"""Reading consoles that grow, and telling of runs in the order things happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.cli.follow import Follower, Reader
from klassd.workflows.cli.lines import Labels, Lines, line_text
from klassd.workflows.cli.style import Paint
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution, NodeRow, Run
from klassd.workflows.model.states import ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node

PLAIN = Paint(False)


def raw(number: int, text: str) -> LogLine:
    return LogLine(number=number, time=float(number), text=text, stream="stdout")


@given(st.lists(st.text("ab", max_size=4), max_size=8), st.data())
def test_a_growing_console_is_given_whole_and_once(texts: list[str], data: st.DataObject) -> None:
    """Polled at any moment, also in the middle of a line."""
    reader, given_parts = Reader(), dict.fromkeys(range(1, len(texts) + 1), "")
    for complete in range(len(texts) + 1):
        shown = [raw(number, text) for number, text in enumerate(texts[:complete], 1)]
        if complete < len(texts) and data.draw(st.booleans()):
            part = texts[complete][: data.draw(st.integers(0, len(texts[complete])))]
            shown.append(raw(complete + 1, part))
        for line in reader.take(shown[max(0, reader.number - 1) :]):
            given_parts[line.number] += line.text
    assert list(given_parts.values()) == texts


def test_markers_are_given_once_and_their_lines_are_not_asked_for_again() -> None:
    reader = Reader()
    gap = LogLine(number=3, time=3.0, text="", missing=14)
    cut = LogLine(number=17, time=4.0, text="", cut_bytes=1_048_576)
    assert reader.take([raw(1, "a"), raw(2, "b"), gap]) == [raw(1, "a"), raw(2, "b"), gap]
    assert reader.number == 16
    assert reader.take([gap, cut]) == [cut]
    assert reader.take([cut]) == []
    assert reader.take([cut, raw(18, "c")]) == [raw(18, "c")]


def test_markers_say_in_words_what_is_missing() -> None:
    assert line_text(LogLine(number=3, time=0, text="", missing=14), PLAIN) == "… 14 lines missing here (lines 3 to 16)"
    assert line_text(LogLine(number=3, time=0, text="", missing=1), PLAIN) == "… 1 line missing here (line 3)"
    assert (
        line_text(LogLine(number=3, time=0, text="", cut_bytes=1_048_576), PLAIN)
        == "… 1.0 MB left out here: the console reached its limit"
    )


def test_of_a_record_of_several_lines_only_the_first_says_its_level() -> None:
    lines = Lines(PLAIN)
    record = [
        LogLine(number=number, time=1.5, text=text, level=40) for number, text in ((1, "Traceback"), (2, "  File"), (3, "E"))
    ]
    other = LogLine(number=4, time=1.6, text="again", level=40)
    assert [lines.text("x", line) for line in [*record, other]] == ["error Traceback", "  File", "E", "error again"]


def test_labels_name_the_item_of_a_fan_out_and_the_class_of_a_plain_job() -> None:
    flow = Definition("flow", (Node("one", "m:One", "m:One"), Node("each", "m:Each", "m:Each", over=[1, 2])))
    job = Definition("m:One", (Node("m:One", "m:One", "m:One"),), kind="job")
    assert Labels(flow, PLAIN).prefix("each", 1, aligned=False) == "[each#1] "
    assert Labels(flow, PLAIN).prefix("one", 0, aligned=True) == "one     │ "
    assert Labels(job, PLAIN).prefix("m:One", 0, aligned=False) == "[One] "


def test_neighbours_in_a_workflow_have_colours_of_their_own_and_keep_them() -> None:
    flow = Definition("flow", tuple(Node(name, "m:X", "m:X") for name in "abcdefgh"))
    colours = [Labels(flow, Paint(True)).colour(name) for name in "abcdefgh"]
    assert len(set(colours)) == 8
    assert colours == [Labels(flow, Paint(True)).colour(name) for name in "abcdefgh"]
    assert "31" not in colours


class FakeClient:
    """A run that has just ended, with one console."""

    def __init__(self, view: RunView, lines: Sequence[LogLine]) -> None:
        self._view, self._lines = view, lines

    async def changes(self) -> AsyncIterator[None]:
        while True:
            yield

    async def view(self, run_id: str) -> RunView:
        return self._view

    async def log(self, execution_id: str, first_line: int, limit: int) -> list[LogLine]:
        number = int(execution_id)
        return [line for line in self._lines if line.time // 10 == number and line.number >= first_line][:limit]


class Told:
    def __init__(self) -> None:
        self.said: list[str] = []

    def lines(self, lines: list[tuple[Execution, LogLine]]) -> None:
        self.said += [line.text for _, line in lines]

    def execution_ended(self, view: RunView, node: NodeView, execution: Execution) -> None:
        self.said.append(f"end of attempt {execution.attempt} of {node.name}")

    def node_ended(self, view: RunView, node: NodeView) -> None:
        self.said.append(f"end of {node.name}")

    def seen(self, view: RunView) -> None:
        self.said.append("seen")


def test_lines_and_ends_are_told_in_the_order_they_happened_and_ends_after_their_lines() -> None:
    nodes = [Node("a", "m:A", "m:A"), Node("b", "m:B", "m:B")]
    first = Execution(id="1", run_id="r", node="a", status=ExecutionStatus.SUCCEEDED, finished_at=12.0, log_lines=2)
    second = Execution(id="2", run_id="r", node="b", status=ExecutionStatus.FAILED, finished_at=21.0, log_lines=2)
    views = [
        NodeView(
            name=each.node,
            status=status,
            node=node,
            row=NodeRow(name=each.node, status=status, finished_at=0.0),
            executions=[each],
        )
        for each, node, status in ((first, nodes[0], NodeStatus.SUCCEEDED), (second, nodes[1], NodeStatus.FAILED))
    ]
    run = Run(id="r", name="f", kind="workflow", definition="d", status=RunStatus.FAILED)
    view = RunView(run=run, definition=Definition("f", tuple(nodes)), nodes=views)
    lines = [
        LogLine(number=1, time=10.5, text="a1"),
        LogLine(number=2, time=11.0, text="a2"),
        LogLine(number=1, time=20.0, text="b1"),
        LogLine(number=2, time=21.5, text="b2, whose clock is ahead of the end's"),
    ]
    told = Told()
    asyncio.run(Follower(FakeClient(view, lines), "r", told).until_end())  # type: ignore[arg-type]
    assert told.said == [
        "a1", "a2", "end of attempt 1 of a", "end of a",
        "b1", "b2, whose clock is ahead of the end's", "end of attempt 1 of b", "end of b",
        "seen",
    ]  # fmt: skip

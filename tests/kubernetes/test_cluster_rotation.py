"""A log that the node rotates: whole for who reads along, and a marker with the number of lines for who comes later."""

from __future__ import annotations

import pytest
from cluster_help import Cluster
from outcomes import PATIENCE, came_to, ours

from klassd.workflows.executors.kubernetes import KubernetesExecutor
from klassd.workflows.model.logs import lines_of
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.testing.executors import Heard, hear, opened, run

WIDTH = 1000
ENOUGH = 10_700  # such lines are more than the 10 MiB after which a kubelet rotates by default, and most are written before
LOOK = 12.0  # seconds; a kubelet looks every ten


@pytest.mark.fault("E10")
def test_a_rotated_log_is_whole_for_who_reads_along_and_begins_with_a_marker_for_who_comes_later(cluster: Cluster) -> None:
    lines = ENOUGH + 100
    along, later = read_twice(cluster, lines, {ENOUGH: LOOK})
    assert along.lines == [text(number) for number in range(lines)]
    (gap, *rest) = lines_of(chunk.data for chunk in later.chunks)
    assert gap.missing and gap.missing + len(rest) == lines
    assert [line.text for line in rest] == [text(number) for number in range(gap.missing, lines)]


@pytest.mark.fault("E10")
def test_a_log_that_is_rotated_while_it_is_written_lacks_nothing_without_a_marker(cluster: Cluster) -> None:
    """What is written in the moment of a rotation may reach nobody: a kubelet opens the new file before the old is full."""
    lines, portion = 40_000, 100
    for heard in read_twice(cluster, lines, dict.fromkeys(range(portion, lines, portion), LOOK / (lines / portion))):
        number = 0
        for line in lines_of(chunk.data for chunk in heard.chunks):
            assert line.missing or line.text == text(number)
            number += line.missing or 1
        assert number == lines


def read_twice(cluster: Cluster, lines: int, pauses: dict[int, float]) -> tuple[Heard, Heard]:
    """Along, and when it is over."""
    wanted = ours("Floods", {"lines": lines, "width": WIDTH, "pauses": {str(at): seconds for at, seconds in pauses.items()}})

    async def check() -> tuple[Heard, Heard]:
        async with opened(cluster.executor()) as executor:
            await executor.launch(wanted)
            along = await hear(executor, wanted.execution_id)
        async with opened(KubernetesExecutor(cluster.settings())) as another:
            later = await hear(another, wanted.execution_id)
            await another.reap(wanted.execution_id)
        return along, later

    along, later = run(check, PATIENCE)
    assert came_to(along).status is came_to(later).status is ExecutionStatus.SUCCEEDED
    return along, later


def text(number: int) -> str:
    return f"{number} ".ljust(WIDTH, ".")

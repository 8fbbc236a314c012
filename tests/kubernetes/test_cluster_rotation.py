"""A log that the node rotates: lost to nobody who reads along, and a marker to who comes later."""

from __future__ import annotations

import pytest
from cluster_help import Cluster
from outcomes import PATIENCE, came_to, ours

from klassd.workflows.executors.kubernetes import KubernetesExecutor
from klassd.workflows.model.logs import lines_of
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.testing.executors import Heard, hear, opened, run

LINES, WIDTH = 12_000, 1000  # more than the 10 MiB after which a kubelet rotates by default


@pytest.mark.fault("E10")
def test_a_rotated_log_is_whole_for_who_reads_along_and_begins_with_a_marker_for_who_comes_later(cluster: Cluster) -> None:
    wanted = ours("Floods", {"lines": LINES, "width": WIDTH})

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
    assert along.lines == [text(number) for number in range(LINES)]
    (gap, *rest) = lines_of(chunk.data for chunk in later.chunks)
    assert gap.missing and gap.missing + len(rest) == LINES
    assert [line.text for line in rest] == [text(number) for number in range(gap.missing, LINES)]


def text(number: int) -> str:
    return f"{number} ".ljust(WIDTH, ".")

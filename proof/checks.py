"""Whether what the store says is what the witness saw."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator

from klassd.workflows.client import ALL, Client
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause, ExecutionStatus, RunStatus
from proof.jobs import line
from proof.witness import Testimony

KILLED = (Cause.SIGNAL, Cause.LOST)
FINE = {RunStatus.SUCCEEDED}


class Checks:
    """Counts what was looked at, so that a check that saw nothing is noticed."""

    def __init__(self, seen: Testimony, victims: Collection[int] | None = None) -> None:
        """``victims``: pids that were killed, where they are known."""
        self._seen, self._victims = seen, victims
        self.problems = [f"{each}: an attempt overlapped with another one of its task" for each in seen.overlaps]
        self.executions = self.lines = self.killed = 0
        self._known: set[str] = set()

    async def run(self, client: Client, run_id: str, expected: set[RunStatus] = FINE) -> None:
        run = await client.run(run_id)
        if run.status not in expected:
            self.problems.append(f"run {run_id} is {run.status}, expected {' or '.join(sorted(expected))}: {run.error}")
        latest: dict[tuple[str, int], Execution] = {}
        async for execution in client.executions(run_id):
            self.executions += 1
            self._known.add(execution.id)
            self.problems += [f"{execution.id} ({execution.status}): {each}" for each in self._of_witness(execution)]
            self.problems += [f"{execution.id}: {each}" async for each in self._of_console(client, execution)]
            latest[execution.node, execution.index] = execution
        for execution in latest.values() if run.status is RunStatus.SUCCEEDED else ():
            if execution.status is not ExecutionStatus.SUCCEEDED:
                self.problems.append(f"{execution.id} is {execution.status} in a run that succeeded")

    def done(self) -> list[str]:
        """All problems, with those that only show at the end."""
        unknown = sorted(self._seen.starts.keys() - self._known)
        return self.problems + [f"{each}: started, and no run knows of it" for each in unknown]

    def _of_witness(self, execution: Execution) -> Iterator[str]:
        starts = self._seen.starts[execution.id]
        ended = execution.id in self._seen.ended
        self.killed += execution.cause in KILLED
        if starts > 1:
            yield f"started {starts} times"
        if not execution.status.final:
            yield "it is not final"
        if execution.status is ExecutionStatus.SUCCEEDED and not (starts and ended):
            yield "succeeded, but never came to its end"
        if execution.cause is Cause.EXCEPTION and not (starts and ended):
            yield "raised, but never came to its end"
        if execution.cause is Cause.SIGNAL and starts and self._spared(self._seen.pids[execution.id]):
            yield "killed by a signal that nobody sent"
        if execution.status is ExecutionStatus.FAILED and execution.cause not in (Cause.EXCEPTION, *KILLED):
            yield f"failed for a cause that nobody gave it: {execution.cause} {execution.error}"

    def _spared(self, pid: int) -> bool:
        return self._victims is not None and pid not in self._victims

    async def _of_console(self, client: Client, execution: Execution) -> AsyncIterator[str]:
        printed = [each async for each in _console(client, execution.id)]
        ours = [each for each in printed if each.stream == "stdout"]
        said = self._seen.said.get(execution.id, 0)
        self.lines += len(ours)
        if [each.number for each in printed] != list(range(1, len(printed) + 1)):
            yield f"its console has holes or repetitions: {[each.number for each in printed][:20]}"
        for number, each in enumerate(ours):
            wanted = line(execution.id, number)
            if each.text != wanted and not (number + 1 == len(ours) and wanted.startswith(each.text)):
                yield f"line {number + 1} of its console is {each.text!r}, expected {wanted!r}"
                return
        if execution.id in self._seen.ended and len(ours) != said and execution.cause is not Cause.LOST:
            yield f"its console has {len(ours)} lines of {said}"
        if execution.cause is Cause.SIGNAL and len(ours) < said:
            yield f"its console has {len(ours)} lines, but {said} were written before it was killed"


async def _console(client: Client, execution_id: str) -> AsyncIterator[LogLine]:
    first = 1
    while lines := await client.log(execution_id, first, 10 * ALL):
        for each in lines:
            yield each
        first = lines[-1].number + 1

"""What has to be true after every step, held against the cluster: the witness that no part of the engine can deceive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from klassd.workflows.model.logs import lines_of
from klassd.workflows.model.run import Change, Execution, ExecutionPatch, LoadedRun, Run
from klassd.workflows.model.states import Cause, ExecutionStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node, definition_from
from klassd.workflows.order import Order
from klassd.workflows.ports import NewRun
from klassd.workflows.stores.common import key_of
from klassd.workflows.stores.memory import MemoryData
from klassd.workflows.testing.clock import START
from klassd.workflows.testing.simulation.cluster import Cluster, SimJob
from klassd.workflows.testing.simulation.process import SimProcess
from klassd.workflows.testing.simulation.reference import Reference

PROMPT = 120.0  # seconds: longer than a message may be under way, shorter than it takes until somebody comes by


class Violation(Exception):
    """``rule``: which promise was broken; ``subject``: the run it was broken for, where there is one."""

    def __init__(self, rule: str, subject: str, message: str) -> None:
        self.rule, self.subject = rule, subject
        super().__init__(f"{rule}: {message}")


class Invariants:
    """Told of everything at the moment it takes effect. ``broken``: called with the violation."""

    def __init__(
        self,
        data: MemoryData,
        cluster: Cluster,
        queue_caps: Mapping[str, int],
        time: Callable[[], float],
        broken: Callable[[Violation], None],
    ) -> None:
        self.queue_caps = queue_caps
        self._data, self._cluster, self._time, self._broken = data, cluster, time, broken
        self.accepted: dict[str, int] = {}  # runs that somebody was promised
        self.keys: dict[str, str] = {}  # idempotency key -> run
        self.cancelled: set[str] = set()  # runs somebody asked to cancel
        self.leases: dict[str, float] = {}  # owner -> until when
        self._released: set[str] = set()
        self._late: set[str] = set()  # owners of whom a renewal arrived after the release: the lease runs out by itself
        self.crashed: set[str] = set()  # processes that ended without releasing their lease
        self.owner_of: dict[str, str] = {}  # process -> the name it owns runs under
        self.owners: dict[str, tuple[str, int]] = {}  # run -> owner, epoch
        self.final_runs: dict[str, RunStatus] = {}
        self.final_executions: dict[str, ExecutionStatus] = {}
        self.final_nodes: dict[tuple[str, str], str] = {}
        self.live: dict[tuple[str, str, int], SimJob] = {}  # user code that runs, by task
        # process -> what it launched and has not ended, with the owner and epoch it did so under
        self.launched: dict[str, dict[str, tuple[Order, tuple[str, int]]]] = {}
        self.owed: dict[str, tuple[str, float]] = {}  # execution -> the process that has to reap it, since when
        self._decided: dict[str, tuple[str, int]] = {}  # execution -> owner and epoch that let it start
        self._definitions: dict[str, Definition] = {}
        self._next_line: dict[str, int] = {}

    def hold(self, true: bool, rule: str, subject: str, message: str) -> None:
        if not true:
            self._broken(Violation(rule, subject[:20], message))

    # -- what the cluster does ----------------------------------------------------------------------------------

    def started(self, job: SimJob) -> None:
        count = self._cluster.starts[job.id]
        self.hold(count <= 1, "started once", job.id, f"user code of {job.id} was started {count} times")
        other = self.live.get(job.task)
        overlap = f"{job.id} runs beside {other.id if other else ''}"
        self.hold(other is None or other is job or other.excused, "attempts do not overlap", job.id, overlap)
        self.live[job.task] = job
        final = self.final_executions.get(job.id)
        self.hold(final is None, "final means dead", job.id, f"{job.id} was {final}, and now its user code starts")
        self._max_parallel(job)
        self._served(job)

    def _served(self, job: SimJob) -> None:
        """Its services had said that they are ready, before."""
        for need in self._services(job.order.run_id, job.order.node):
            ready = any(other.said_ready for other in self._cluster.jobs.values() if other.task == (job.order.run_id, need, 0))
            self.hold(ready, "services are ready first", job.id, f"{job.id} starts, and its service {need} was never ready")

    def _services(self, run_id: str, name: str) -> list[str]:
        """Those it needs, but for one that was omitted, which it does without."""
        needs = [self._node(run_id, need) for need in self._node(run_id, name).needs]
        omitted = {name for (run, name), status in self.final_nodes.items() if run == run_id and status == "omitted"}
        return [need.name for need in needs if need.service is not None and need.name not in omitted]

    def granted(self, job: SimJob, pod: str) -> None:
        row = self._row(job.id, job.order.run_id)
        by = row.started_by if row else None
        self.hold(by == pod, "who starts has claimed it", job.id, f"{pod} starts it, and {by} has claimed that")

    def refused(self, job: SimJob, pod: str) -> None:
        row = self._row(job.id, job.order.run_id)
        by = row.started_by if row else None
        self.hold(by != pod, "a claim stands", job.id, f"{pod} has claimed the start, and is told that another has")

    def _max_parallel(self, job: SimJob) -> None:
        node = self._node(job.order.run_id, job.order.node)
        if node.max_parallel is not None:
            others = (each for (run, name, _), each in self.live.items() if run == job.order.run_id and name == node.name)
            count = sum(not each.excused for each in others)
            message = f"{count} items of {node.name} run at once, at most {node.max_parallel} may"
            self.hold(count <= node.max_parallel, "max_parallel", job.id, message)

    def said_unknown(self, job: SimJob, seconds: float) -> None:
        """Whoever was told so may give it up, if its job says that nobody need wait any longer."""
        patience = self._node(job.order.run_id, job.order.node).options.lost_after
        job.excused = job.excused or (patience is not None and seconds >= patience)

    def ended(self, job: SimJob) -> None:
        if self.live.get(job.task) is job:
            del self.live[job.task]
        for launched in self.launched.values():
            launched.pop(job.id, None)

    def launching(self, process: SimProcess, order: Order, concurrency: int) -> None:
        row = self._row(order.execution_id, order.run_id)
        self.hold(row is not None, "recorded before launched", order.run_id, f"{order.execution_id} is launched without a row")
        owner = self.owner_of.get(process.name, "")
        of = self.owners.get(order.run_id, ("nobody", 0))[0]
        self.hold(
            of == owner, "only the owner launches", order.run_id, f"{owner} launches {order.execution_id}, which is {of}'s"
        )
        until = self.leases.get(owner, 0.0)
        message = f"{process.name} launches {order.execution_id} after its lease ran out at {until:.4f}"
        self.hold(self._time() < until, "launched under a lease", order.run_id, message)
        self.launched.get(process.name, {}).pop(order.execution_id, None)
        if order.service is None:  # it takes no slot
            self._bounded(process, concurrency)
        self._capped(process, order)
        self.launched.setdefault(process.name, {})[order.execution_id] = (order, self.owners[order.run_id])

    def _capped(self, process: SimProcess, order: Order) -> None:
        """What an earlier owner let start counts nowhere: it is adopted beyond every limit."""
        queue = self._node(order.run_id, order.node).options.queue
        cap = self.queue_caps.get(queue)
        if order.service is not None or cap is None or self._decided.get(order.execution_id) != self.owners[order.run_id]:
            return
        alive = [
            other.execution_id
            for other, under in self.launched.get(process.name, {}).values()
            if other.service is None
            and self._node(other.run_id, other.node).options.queue == queue
            and self._decided.get(other.execution_id) == under == self.owners[other.run_id]
            and self._is_alive(other.execution_id)
        ]
        message = f"{process.name} launches one more of queue {queue} than {cap} while {', '.join(alive)} are not over"
        self.hold(len(alive) < cap, "queues have their caps", order.run_id, message)

    def _is_alive(self, execution_id: str) -> bool:
        job = self._cluster.jobs.get(execution_id)
        return job is not None and not job.ended and not job.excused  # one that was given up holds no place any more

    def _bounded(self, process: SimProcess, concurrency: int) -> None:
        launched = [each for each in self.launched.get(process.name, {}).values() if each[0].service is None]
        alive = [order.execution_id for order, under in launched if self.owners[order.run_id] == under]
        alive = [execution_id for execution_id in alive if self._is_alive(execution_id)]
        message = f"{process.name} launches one more than {concurrency} while {', '.join(alive)} are not over"
        self.hold(len(alive) < concurrency, "no more than there are slots", "", message)

    def reaping(self, execution_id: str) -> None:
        self.owed.pop(execution_id, None)
        message = f"{execution_id} is reaped before its end is stored"
        self.hold(execution_id in self.final_executions, "reaped when stored", execution_id, message)

    # -- what the store takes -----------------------------------------------------------------------------------

    def enqueued(self, runs: Sequence[NewRun], ids: Sequence[str]) -> None:
        for new, run_id in zip(runs, ids, strict=True):
            key = new.run.idempotency_key
            if key is not None:
                first = self.keys.setdefault(key, run_id)
                self.hold(first == run_id, "one run for one key", run_id, f"{key} gave {first} and then {run_id}")
            self.hold(run_id in self._data.runs, "an accepted enqueue is kept", run_id, f"{run_id} is not in the store")
            self.accepted.setdefault(run_id, len(self.accepted))

    def cancel_requested(self, run_id: str, asked: bool) -> None:
        if asked:
            self.cancelled.add(run_id)
        self._run(run_id)

    def renewed(self, process: SimProcess, owner: str, ttl: float) -> None:
        if owner in self._released:
            self._late.add(owner)
        self.leases[owner] = self._time() + ttl
        self.owner_of[process.name] = owner

    def released(self, owner: str) -> None:
        self.leases.pop(owner, None)
        self._released.add(owner)
        for run_id, (of, epoch) in self.owners.items():
            if of == owner:
                self.owners[run_id] = ("", epoch)

    def claimed(self, process: SimProcess, owner: str, claimed: Sequence[LoadedRun]) -> None:
        for loaded in claimed:
            run = loaded.run
            before, epoch = self.owners.get(run.id, ("", 0))
            taken = before not in ("", owner) and self._time() < self.leases.get(before, 0.0)
            self.hold(not taken, "one owner", run.id, f"{owner} gets {run.id}, which {before} holds a live lease of")
            self.hold(run.epoch > epoch, "the epoch grows", run.id, f"{run.id} has epoch {run.epoch} after {epoch}")
            self.hold(run.id not in self.final_runs, "final runs stay", run.id, f"{run.id} is claimed though it is final")
            self.owners[run.id] = (owner, run.epoch)

    def committed(self, process: SimProcess, changes: Sequence[Change], accepted: Sequence[bool]) -> None:
        for change, taken in zip(changes, accepted, strict=True):
            if taken:
                self._committed(change)

    def _committed(self, change: Change) -> None:
        epoch = self.owners.get(change.run_id, ("", change.epoch))[1]
        message = f"{change.run_id} is of epoch {epoch}, and a change of epoch {change.epoch} was taken"
        self.hold(epoch == change.epoch, "only the owner writes", change.run_id, message)
        for execution_id, chunk in change.logs:
            self._appended(change.run_id, execution_id, chunk.first_line, chunk.lines)
        for new in change.started:
            self._with_services(new)
        for row in _rows(change):
            self._execution(change.run_id, row)
        for node in change.nodes:
            self._node_row(change.run_id, node.name)
        if change.run is not None:
            self._run(change.run_id)

    def _with_services(self, new: Execution) -> None:
        """No attempt is decided once a service that it needs has ended."""
        for need in self._services(new.run_id, new.node):
            ended = self.final_nodes.get((new.run_id, need))
            message = f"{new.id} is to start though its service {need} was {ended}"
            self.hold(ended is None, "nothing starts after its service", new.run_id, message)

    def acknowledged(self, process: SimProcess, changes: Sequence[Change], accepted: Sequence[bool]) -> None:
        """From here on this process has to reap what ended; one that dies first leaves it to whoever comes by."""
        for change, taken in zip(changes, accepted, strict=True):
            for row in _rows(change) if taken else ():
                job = self._cluster.jobs.get(row.id)
                over = isinstance(row.status, ExecutionStatus) and row.status.final
                if over and job is not None and not job.reaped:
                    self.owed[row.id] = process.name, self._time()

    def calm(self, since: float) -> None:
        """Nothing goes wrong any more: whoever owes a reap comes to it, and does not leave it to others."""
        for execution_id, (name, stored) in self.owed.items():
            late = self._time() - max(since, stored) > PROMPT
            self.hold(not late, "everything is reaped", execution_id, f"{execution_id} is not reaped by {name}, which owes it")

    def died(self, process: SimProcess) -> None:
        self.launched.pop(process.name, None)
        self.owed = {execution: owed for execution, owed in self.owed.items() if owed[0] != process.name}

    # -- rows ---------------------------------------------------------------------------------------------------

    def _row(self, execution_id: str, run_id: str) -> Execution | None:
        return self._data.executions.get(run_id, {}).get(key_of(execution_id, run_id))

    def _node(self, run_id: str, name: str) -> Node:
        return next(node for node in self.definition(self._data.runs[run_id]).nodes if node.name == name)

    def definition(self, run: Run) -> Definition:
        if run.definition not in self._definitions:
            self._definitions[run.definition] = definition_from(self._data.definitions[run.definition])
        return self._definitions[run.definition]

    def _run(self, run_id: str) -> None:
        run = self._data.runs[run_id]
        before = self.final_runs.get(run_id)
        self.hold(before in (None, run.status), "final runs stay", run_id, f"{run_id} was {before} and is {run.status}")
        if run.status.final and before is None:
            self.final_runs[run_id] = run.status
            self._ended_run(run)

    def _ended_run(self, run: Run) -> None:
        engine = run.error is not None and run.error.startswith("engine error")
        self.hold(not engine, "no failure of ours", run.id, f"{run.id} failed by our own fault: {run.error}")
        running = sorted(job.id for task, job in self.live.items() if task[0] == run.id and not job.excused)
        self.hold(not running, "final means dead", run.id, f"{run.id} is {run.status} while {', '.join(running)} runs")
        rows = self._data.executions.get(run.id, {}).values()
        open_ = [row.id for row in rows if not row.status.final]
        self.hold(not open_, "a run ends last", run.id, f"{run.id} is {run.status} while {', '.join(open_)} is not final")
        if run.id in self.cancelled:
            fits = run.status in (RunStatus.CANCELLED, RunStatus.SUCCEEDED, RunStatus.FAILED)
        else:
            began = {row.node for row in rows}
            reference = Reference(self.definition(run), self._results(rows), outlived=lambda service, node: node in began)
            fits = run.status is reference.run
        self.hold(fits, "the verdict follows", run.id, f"{run.id} is {run.status}, which its results do not imply: {run.error}")

    def _results(self, rows: Iterable[Execution]) -> Callable[[str, int], tuple[bool | None, Any]]:
        """What the last attempt of each task really came to."""
        last: dict[tuple[str, int], Execution] = {}
        for row in rows:
            if (row.node, row.index) not in last or last[row.node, row.index].attempt < row.attempt:
                last[row.node, row.index] = row

        def result(node: str, index: int) -> tuple[bool | None, Any]:
            row = last.get((node, index))
            if row is None or row.cause is Cause.STOPPED:
                return None, None
            if self._node(row.run_id, node).service is not None:
                return row.status is ExecutionStatus.SUCCEEDED, None
            job = self._cluster.jobs.get(row.id)
            succeeded = job is not None and job.cause == "" and not _given_up(row, job)
            return succeeded, job.script.output if job and succeeded else None

        return result

    def _node_row(self, run_id: str, name: str) -> None:
        status = self._data.nodes[run_id][name].status
        before = self.final_nodes.get((run_id, name))
        self.hold(before in (None, status), "final nodes stay", run_id, f"{name} of {run_id} was {before} and is {status}")
        if status.final:
            self.final_nodes[run_id, name] = status

    def _execution(self, run_id: str, said: Execution | ExecutionPatch) -> None:
        row = self._row(said.id, run_id)
        if row is None:
            self.hold(False, "what is updated exists", run_id, f"{said.id} was updated and is not there")
            return
        before = self.final_executions.get(row.id)
        self.hold(before in (None, row.status), "final executions stay", row.id, f"{row.id} was {before} and is {row.status}")
        if row.status is ExecutionStatus.STARTING and row.id not in self._decided:
            self._decided[row.id] = self.owners[run_id]
        if row.status.final and before is None:
            self.final_executions[row.id] = row.status
            self._ended(row)

    # -- the truth of an end ------------------------------------------------------------------------------------

    def _ended(self, row: Execution) -> None:
        for launched in self.launched.values():
            launched.pop(row.id, None)
        job = self._cluster.jobs.get(row.id)
        alive = job is not None and job.running and not job.excused
        self.hold(not alive, "final means dead", row.id, f"{row.id} is {row.status} while its user code runs")
        self.hold(self._is_true(row, job), "states are true", row.id, self._lie(row, job))
        if job is not None and job.end is not None and not _given_up(row, job):
            self._console(row, job)

    def _is_true(self, row: Execution, job: SimJob | None) -> bool:
        started = self._cluster.starts.get(row.id, 0) > 0
        if self._node(row.run_id, row.node).service is not None and row.cause in (None, Cause.EXIT):
            return job is not None and (self._of_no_use(row) if row.cause is None else job.cause in ("", "exit"))
        match row.status, row.cause:
            case _, Cause.SERVICE:
                return any(self._data.nodes[row.run_id][need].status.final for need in self._services(row.run_id, row.node))
            case ExecutionStatus.SUCCEEDED, _:
                return job is not None and job.cause == "" and row.output == job.script.output
            case _, Cause.STOPPED:
                return row.run_id in self.cancelled
            case _, Cause.START_DEADLINE:
                return not started or (
                    job is not None and (not job.started_at or job.requested == "stop" or job.cause == "lost")
                )
            case _, Cause.LAUNCH:
                return row.id in self._cluster.refused and not started
            case _, Cause.INPUT:
                return not started
            case _:
                return job is not None and (_given_up(row, job) or (job.ended and job.cause == row.cause))

    def _of_no_use(self, row: Execution) -> bool:
        """Nothing runs, or will, that needs this service."""
        using = [node.name for node in self.definition(self._data.runs[row.run_id]).nodes if row.node in node.needs]
        final = self._data.nodes.get(row.run_id, {})
        runs = any(run == row.run_id and name in using for run, name, _ in self.live)
        return not runs and all(name in final and final[name].status.final for name in using)

    def _lie(self, row: Execution, job: SimJob | None) -> str:
        said = f"{row.status} ({row.cause}: {row.error})" if row.cause else f"{row.status} with {row.output}"
        if job is None:
            return f"{row.id} is {said}, and the cluster never had it"
        truth = job.cause or f"success with {job.script.output}"
        return f"{row.id} is {said}, and the cluster says {truth if job.ended else 'it has not ended'}"

    # -- consoles -----------------------------------------------------------------------------------------------

    def _appended(self, run_id: str, execution_id: str, first: int, lines: int) -> None:
        expected = self._next_line.get(execution_id, 1)
        if first < expected:
            return  # repeated after an answer that was lost; what the store made of it is looked at in the end
        message = f"the console of {execution_id} goes on at line {first} after line {expected - 1}"
        self.hold(first == expected, "consoles have no silent gap", run_id, message)
        self._next_line[execution_id] = first + lines
        return

    def _console(self, row: Execution, job: SimJob) -> None:
        """Every line once, in order, as it was produced, or a marker in its place."""
        chunks = [chunk.data for chunk in self._data.logs.get(row.id, ())]
        expected = 1
        for line in sorted(lines_of(chunks), key=lambda line: line.number):
            produced = job.console.lines
            fits = line.number == expected and (
                line.missing > 0 or (line.number <= len(produced) and _is_of(line.text, produced[line.number - 1], job))
            )
            message = f"the console of {row.id} has {line.text!r} as line {line.number} where line {expected} is due"
            self.hold(fits, "consoles are whole", row.id, message)
            expected = line.number + max(1, line.missing)
        message = f"the console of {row.id} ends before line {expected} of {row.log_lines}"
        self.hold(expected > row.log_lines, "consoles are whole", row.id, message)

    # -- the end of it all --------------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Nothing is left to do for anybody."""
        return not self._cluster.alive and not self._cluster.unreaped and len(self.final_runs) == len(self._data.runs)

    def at_the_end(self) -> None:
        for run_id in self.accepted:
            run = self._data.runs.get(run_id)
            status = run.status if run else "gone"
            self.hold(run is not None and run.status.final, "every accepted run ends", run_id, f"{run_id} is {status}")
        for job in self._cluster.alive:
            self.hold(False, "nothing is left running", job.id, f"{job.id} still runs")
        for job in self._cluster.unreaped:
            self.hold(
                False, "everything is reaped", job.id, f"{job.id} was never reaped, by its owner or by whoever came by later"
            )
        for run_id, rows in self._data.executions.items():
            for row in rows.values():
                before = self.final_executions.get(row.id)
                self.hold(before == row.status, "final executions stay", run_id, f"{row.id} was {before} and is {row.status}")
        for run in self._data.runs.values():
            final = self.final_runs.get(run.id)
            self.hold(final is not None, "every run ends", run.id, f"{run.id} is {run.status}")
            self.hold(final == run.status, "final runs stay", run.id, f"{run.id} was {final} and is {run.status}")

    def closed(self) -> None:
        """When every scheduler has ended in order."""
        without_a_word = {self.owner_of.get(name) for name in self.crashed} | self._late
        live = (owner for owner, lease in self._data.leases.items() if lease.live(START + self._time()))
        held = sorted(owner for owner in live if owner not in without_a_word)
        self.hold(not held, "no lease is held", "", f"leases of {', '.join(held)} are held though all have ended")


def _given_up(row: Execution, job: SimJob) -> bool:
    """Nobody heard what became of it after that."""
    return job.excused and row.cause in (Cause.LOST, Cause.STOPPED)


def _is_of(text: str, produced: str, job: SimJob) -> bool:
    """The line; or, where a rotation took a frame that a part of it stood in, the rest."""
    return text == produced or (job.rotated > 0 and (produced.endswith(text) or produced.startswith(text)))


def _rows(change: Change) -> Iterator[Execution | ExecutionPatch]:
    yield from change.started
    yield from change.updated

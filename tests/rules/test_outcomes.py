"""The outcome table, row by row: what an execution came to, from the worker's record and from what the machine saw."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from klassd.workflows.model.execution import Exit, Finished
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.order import End, Error
from klassd.workflows.rules.lifecycle import verdict

SUCCEEDED, FAILED, STOPPED = ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.STOPPED
RAISED = Error(type="ValueError", message="no market", traceback="Traceback ...")
FOR_GOOD = Error(type="PermanentError", message="never", retry=False)
MANIFEST = {"": (2, "0"), "rows": (1, "0")}
VALUES = {"": b"42", "rows": b"7"}


def success(**fields: Any) -> End:
    return End(result="success", **{"exit_code": 0, "outputs": MANIFEST} | fields)


def failure(error: Error = RAISED, **fields: Any) -> End:
    return End(result="failure", error=error, **{"exit_code": 1} | fields)


def none(**fields: Any) -> End:
    return End(result="none", **fields)


class Expected(NamedTuple):
    status: ExecutionStatus
    cause: Cause | None = None
    message: str = ""  # its beginning
    retry: bool = False
    infrastructure: bool = False


OK = Expected(SUCCEEDED)


def failed(cause: Cause, message: str) -> Expected:
    return Expected(FAILED, cause, message, retry=True)


def for_good(cause: Cause, message: str) -> Expected:
    return Expected(FAILED, cause, message)


def machine(cause: Cause, message: str) -> Expected:
    return Expected(FAILED, cause, message, retry=True, infrastructure=True)


def stopped(message: str) -> Expected:
    return Expected(STOPPED, Cause.STOPPED, message)


# the worker's record, what the machine saw, whether a stop was requested -> the verdict
TABLE: dict[str, tuple[End | None, Exit, bool, Expected]] = {
    # a success that is whole is one, whatever came after
    "success": (success(), Exit(exit_code=0), False, OK),
    "success, then exit 3": (success(exit_code=3), Exit(exit_code=1), False, OK),
    "success, then a signal": (success(exit_code=None, signal=11), Exit(), False, OK),
    "success, then oom": (success(), Exit(reason="oom", signal=9), False, OK),
    "success, then its supervisor is lost": (success(), Exit(reason="lost"), False, OK),
    "success, then a stop": (success(), Exit(), True, OK),
    "success, not stored": (success(stored=False), Exit(), False, failed(Cause.OUTPUT, "it succeeded, but an output")),
    "success, not stored, why": (success(stored=False, error=FOR_GOOD), Exit(), False, for_good(Cause.OUTPUT, "it succ")),
    "success, not stored, stopped": (success(stored=False), Exit(), True, stopped("stopped")),
    # failures
    "failure": (failure(), Exit(exit_code=1), False, failed(Cause.EXCEPTION, "ValueError: no market")),
    "failure for good": (failure(FOR_GOOD), Exit(), False, for_good(Cause.EXCEPTION, "PermanentError: never")),
    "failure of the inputs": (failure(cause="input"), Exit(), False, for_good(Cause.INPUT, "ValueError: no market")),
    "failure of an output": (failure(cause="output"), Exit(), False, failed(Cause.OUTPUT, "ValueError: no market")),
    "failure, then oom": (failure(), Exit(reason="oom"), False, failed(Cause.EXCEPTION, "ValueError: no market")),
    # no result
    "none, exit 0": (none(exit_code=0), Exit(), False, failed(Cause.NO_RESULT, "the process ended with exit code 0")),
    "none, exit 3": (none(exit_code=3), Exit(), False, failed(Cause.EXIT, "exit code 3 without a result")),
    "none, lost with its maker": (none(cause="lost"), Exit(), False, machine(Cause.LOST, "the process is gone")),
    "none, SIGKILL": (none(signal=9), Exit(exit_code=1), False, failed(Cause.SIGNAL, "killed by signal 9 (SIGKILL)")),
    "none, an unnamed signal": (none(signal=63), Exit(), False, failed(Cause.SIGNAL, "killed by signal 63")),
    "no record, exit 0": (None, Exit(exit_code=0), False, failed(Cause.NO_RESULT, "the process ended")),
    "no record, exit 3": (None, Exit(exit_code=3), False, failed(Cause.EXIT, "exit code 3 without a result")),
    "no record, SIGSEGV": (None, Exit(signal=11), False, failed(Cause.SIGNAL, "killed by signal 11 (SIGSEGV)")),
    "no record, exit said": (None, Exit(reason="exit", exit_code=3), False, failed(Cause.EXIT, "exit code 3")),
    "nothing known at all": (None, Exit(), False, machine(Cause.LOST, "the process is gone")),
    # the machine's or the cluster's doing
    "none, oom": (none(signal=9), Exit(reason="oom", signal=9), False, machine(Cause.OOM, "killed: it used more memory")),
    "oom": (None, Exit(reason="oom", message="limit 512Mi"), False, machine(Cause.OOM, "limit 512Mi")),
    "evicted": (None, Exit(reason="evicted"), False, machine(Cause.EVICTED, "evicted")),
    "evicted, so stopped": (
        none(requested="stop", signal=15),
        Exit(reason="evicted"),
        False,
        machine(Cause.EVICTED, "evicted"),
    ),
    "the cluster's deadline": (None, Exit(reason="deadline"), False, machine(Cause.DEADLINE, "ran longer")),
    "image": (None, Exit(reason="image"), False, machine(Cause.IMAGE, "the image")),
    "not ready": (None, Exit(reason="not_ready", message="in 5 s"), False, failed(Cause.NOT_READY, "in 5 s")),
    "start deadline": (None, Exit(reason="start_deadline"), False, machine(Cause.START_DEADLINE, "did not start")),
    "lost": (None, Exit(reason="lost"), False, machine(Cause.LOST, "the process is gone")),
    "told to stop by others, and its pod is gone": (
        none(requested="stop", exit_code=143),
        Exit(reason="lost", message="its pod is gone"),
        False,
        machine(Cause.LOST, "its pod is gone"),
    ),
    "a reason of another version": (None, Exit(reason="melted", message="hot"), False, machine(Cause.LOST, "melted: hot")),
    "launch refused": (None, Exit(reason="launch", message="no such image"), False, for_good(Cause.LAUNCH, "no such")),
    "inputs refused": (None, Exit(reason="input", message="bad ref"), False, for_good(Cause.INPUT, "bad ref")),
    # deadlines
    "deadline, none": (none(requested="deadline", signal=15), Exit(), False, failed(Cause.DEADLINE, "ran longer")),
    "deadline, then raised": (failure(requested="deadline"), Exit(), False, failed(Cause.DEADLINE, "ran longer")),
    "deadline, then succeeded": (success(requested="deadline"), Exit(), False, failed(Cause.DEADLINE, "ran longer")),
    # stopped on request: only once it is dead, and only where no success was recorded before
    "stopped, none": (none(requested="stop", signal=15), Exit(), True, stopped("stopped on request")),
    "stopped, raised": (failure(requested="stop"), Exit(), True, stopped("stopped on request")),
    "stopped, succeeded after": (success(requested="stop"), Exit(), True, stopped("stopped")),
    "stopped, had failed before": (failure(), Exit(), True, stopped("stopped on request; before that it had failed: Val")),
    "stopped, no record": (None, Exit(signal=9), True, stopped("stopped on request")),
    "stopped, lost": (None, Exit(reason="lost"), True, stopped("stopped on request")),
    "stopped, past its deadline": (none(requested="deadline"), Exit(), True, stopped("stopped")),
    "stopped before it started": (None, Exit(reason="stopped", message="never"), False, stopped("never")),
    "stopped by somebody else": (none(requested="stop"), Exit(), False, stopped("stopped on request")),
}


@pytest.mark.parametrize("row", TABLE)
def test_the_outcome_table(row: str) -> None:
    end, exit_, stop_requested, expected = TABLE[row]
    found = verdict(Finished(end=end, exit=exit_, outputs=VALUES), stop_requested)
    assert (found.status, found.cause) == (expected.status, expected.cause)
    assert (found.retry, found.infrastructure) == (expected.retry, expected.infrastructure)
    assert (found.message or "").startswith(expected.message)
    assert (found.message is None) == (expected is OK)


def test_every_cause_has_a_row() -> None:
    assert {row[3].cause for row in TABLE.values()} == {*Cause, None} - {Cause.SERVICE}  # which ``services.judged`` adds


@pytest.mark.parametrize(
    ("end", "exit_", "warning"),
    [
        (success(exit_code=3), Exit(exit_code=1), "after its result was recorded: exit code 3"),
        (success(), Exit(exit_code=137), "after its result was recorded: exit code 137"),
        (success(exit_code=None, signal=11), Exit(), "after its result was recorded: killed by signal 11 (SIGSEGV)"),
        (success(), Exit(signal=9), "after its result was recorded: killed by signal 9 (SIGKILL)"),
        (success(), Exit(reason="oom"), "after its result was recorded: killed: it used more memory than its limit"),
        (
            success(killed=True),
            Exit(),
            "after its result was recorded: it did not end by itself within its grace and was killed",
        ),
    ],
)
def test_a_crash_after_the_result_is_a_warning(end: End, exit_: Exit, warning: str) -> None:
    assert verdict(Finished(end=end, exit=exit_, outputs=VALUES), False).warnings == (warning,)


def test_a_clean_success_warns_of_nothing_but_what_the_worker_said() -> None:
    found = verdict(Finished(end=success(warnings=("disk nearly full",)), exit=Exit(exit_code=0), outputs=VALUES), False)
    assert found.warnings == ("disk nearly full",)


def test_the_outputs_are_decoded_and_the_return_value_stands_apart() -> None:
    found = verdict(Finished(end=success(), outputs=VALUES), False)
    assert (found.output, found.outputs, found.exit_code) == (42, {"rows": 7}, 0)


def test_a_success_without_a_return_value_gives_null() -> None:
    assert verdict(Finished(end=success(outputs={})), False).output is None


@pytest.mark.parametrize(("given", "named"), [({"": b"42"}, "'rows'"), ({"rows": b"7"}, "the return value")])
def test_an_output_that_never_arrived_fails_the_execution_by_name(given: dict[str, bytes], named: str) -> None:
    found = verdict(Finished(end=success(), outputs=given), False)
    assert (found.status, found.cause, found.output, found.outputs) == (FAILED, Cause.OUTPUT, None, {})
    assert found.message == f"it succeeded, but of its outputs these never arrived: {named}"


@pytest.mark.parametrize("damaged", [b"", b"{", b'"\xff"', b"[" * 100_000])
def test_an_output_that_is_no_json_fails_the_execution(damaged: bytes) -> None:
    found = verdict(Finished(end=success(), outputs=VALUES | {"rows": damaged}), False)
    assert (found.status, found.cause) == (FAILED, Cause.OUTPUT)


@pytest.mark.parametrize(
    ("end", "exit_", "why"),
    [
        (success(stored=False), Exit(), ""),
        (success(stored=False, error=FOR_GOOD), Exit(), ": PermanentError: never"),
        (success(stored=False), Exit(message="'rows': not whole in the spool file"), ": 'rows': not whole in the spool file"),
        (End(result="failure", stored=False, cause="output"), Exit(), ""),  # too many outputs for one record
    ],
)
def test_an_output_that_could_not_be_stored_says_why(end: End, exit_: Exit, why: str) -> None:
    found = verdict(Finished(end=end, exit=exit_, outputs=VALUES), False)
    assert (found.cause, found.message) == (Cause.OUTPUT, f"it succeeded, but an output could not be stored{why}")


@pytest.mark.fault("F11")
def test_outputs_of_a_failure_are_not_kept() -> None:
    found = verdict(Finished(end=failure(outputs=MANIFEST), outputs=VALUES), False)
    assert (found.output, found.outputs, found.detail) == (None, {}, "Traceback ...")


def test_the_deadline_sentence_says_how_long_it_ran() -> None:
    end = none(requested="deadline", started_at=100.0, finished_at=112.5, killed=True)
    expected = "ran longer than its timeout: stopped after 12.5 s and killed, since it did not end within its grace"
    assert verdict(Finished(end=end), False).message == expected


def test_the_jobs_own_exit_code_is_told_rather_than_its_supervisors() -> None:
    assert verdict(Finished(end=none(exit_code=3), exit=Exit(exit_code=1)), False).exit_code == 3
    assert verdict(Finished(end=None, exit=Exit(exit_code=1)), False).exit_code == 1

"""The outcome table, row by row: what an execution came to, from the worker's record and from what the machine saw."""

from __future__ import annotations

from typing import Any

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


# end record, what the machine saw, stop requested -> status, cause, retry, infrastructure, message (its beginning)
TABLE: dict[str, tuple[End | None, Exit, bool, ExecutionStatus, Cause | None, bool, bool, str]] = {
    # a success that is whole is one, whatever came after
    "success": (success(), Exit(exit_code=0), False, SUCCEEDED, None, False, False, ""),
    "success, then exit 3": (success(exit_code=3), Exit(exit_code=1), False, SUCCEEDED, None, False, False, ""),
    "success, then a signal": (success(exit_code=None, signal=11), Exit(), False, SUCCEEDED, None, False, False, ""),
    "success, then oom": (success(), Exit(reason="oom", signal=9), False, SUCCEEDED, None, False, False, ""),
    "success, then its supervisor is lost": (success(), Exit(reason="lost"), False, SUCCEEDED, None, False, False, ""),
    "success, then a stop": (success(), Exit(), True, SUCCEEDED, None, False, False, ""),
    "success, not stored": (success(stored=False), Exit(), False, FAILED, Cause.OUTPUT, True, False, "it succeeded, but an output"),
    "success, not stored for a reason": (
        success(stored=False, error=FOR_GOOD), Exit(), False, FAILED, Cause.OUTPUT, False, False, "PermanentError: never",
    ),
    "success, not stored, stopped": (success(stored=False), Exit(), True, STOPPED, Cause.STOPPED, False, False, "stopped"),
    # failures
    "failure": (failure(), Exit(exit_code=1), False, FAILED, Cause.EXCEPTION, True, False, "ValueError: no market"),
    "failure for good": (failure(FOR_GOOD), Exit(), False, FAILED, Cause.EXCEPTION, False, False, "PermanentError: never"),
    "failure of the inputs": (failure(cause="input"), Exit(), False, FAILED, Cause.INPUT, False, False, "ValueError: no market"),
    "failure of an output": (failure(cause="output"), Exit(), False, FAILED, Cause.OUTPUT, True, False, "ValueError: no market"),
    "failure, then oom": (failure(), Exit(reason="oom"), False, FAILED, Cause.EXCEPTION, True, False, "ValueError: no market"),
    # no result
    "none, exit 0": (none(exit_code=0), Exit(), False, FAILED, Cause.NO_RESULT, True, False, "the process ended with exit code 0"),
    "none, exit 3": (none(exit_code=3), Exit(), False, FAILED, Cause.EXIT, True, False, "exit code 3 without a result"),
    "none, SIGKILL": (none(signal=9), Exit(exit_code=1), False, FAILED, Cause.SIGNAL, True, False, "killed by signal 9 (SIGKILL)"),
    "none, an unnamed signal": (none(signal=63), Exit(), False, FAILED, Cause.SIGNAL, True, False, "killed by signal 63"),
    "no record, exit 0": (None, Exit(exit_code=0), False, FAILED, Cause.NO_RESULT, True, False, "the process ended"),
    "no record, exit 3": (None, Exit(exit_code=3), False, FAILED, Cause.EXIT, True, False, "exit code 3 without a result"),
    "no record, SIGSEGV": (None, Exit(signal=11), False, FAILED, Cause.SIGNAL, True, False, "killed by signal 11 (SIGSEGV)"),
    "no record, exit said": (None, Exit(reason="exit", exit_code=3), False, FAILED, Cause.EXIT, True, False, "exit code 3"),
    "nothing known at all": (None, Exit(), False, FAILED, Cause.LOST, True, True, "the process is gone"),
    # the machine's or the cluster's doing
    "none, oom": (none(signal=9), Exit(reason="oom", signal=9), False, FAILED, Cause.OOM, True, True, "killed: it used more memory"),
    "oom": (None, Exit(reason="oom", message="limit 512Mi"), False, FAILED, Cause.OOM, True, True, "limit 512Mi"),
    "evicted": (None, Exit(reason="evicted"), False, FAILED, Cause.EVICTED, True, True, "evicted"),
    "evicted, and so asked to stop": (
        none(requested="stop", signal=15), Exit(reason="evicted"), False, FAILED, Cause.EVICTED, True, True, "evicted",
    ),
    "the cluster's deadline": (None, Exit(reason="deadline"), False, FAILED, Cause.DEADLINE, True, True, "ran longer"),
    "image": (None, Exit(reason="image"), False, FAILED, Cause.IMAGE, True, True, "the image"),
    "start deadline": (None, Exit(reason="start_deadline"), False, FAILED, Cause.START_DEADLINE, True, True, "did not start"),
    "lost": (None, Exit(reason="lost"), False, FAILED, Cause.LOST, True, True, "the process is gone"),
    "a reason of another version": (None, Exit(reason="melted", message="hot"), False, FAILED, Cause.LOST, True, True, "melted: hot"),
    "launch refused": (None, Exit(reason="launch", message="no such image"), False, FAILED, Cause.LAUNCH, False, False, "no such"),
    "inputs refused": (None, Exit(reason="input", message="bad ref"), False, FAILED, Cause.INPUT, False, False, "bad ref"),
    # deadlines
    "deadline, none": (none(requested="deadline", signal=15), Exit(), False, FAILED, Cause.DEADLINE, True, False, "ran longer"),
    "deadline, then raised": (failure(requested="deadline"), Exit(), False, FAILED, Cause.DEADLINE, True, False, "ran longer"),
    "deadline, then succeeded": (success(requested="deadline"), Exit(), False, FAILED, Cause.DEADLINE, True, False, "ran longer"),
    # stopped on request: only once it is dead, and only where no success was recorded before
    "stopped, none": (none(requested="stop", signal=15), Exit(), True, STOPPED, Cause.STOPPED, False, False, "stopped on request"),
    "stopped, raised": (failure(requested="stop"), Exit(), True, STOPPED, Cause.STOPPED, False, False, "stopped on request"),
    "stopped, succeeded after": (success(requested="stop"), Exit(), True, STOPPED, Cause.STOPPED, False, False, "stopped"),
    "stopped, had failed before": (
        failure(), Exit(), True, STOPPED, Cause.STOPPED, False, False, "stopped on request; before that it had failed: ValueError",
    ),
    "stopped, no record": (None, Exit(signal=9), True, STOPPED, Cause.STOPPED, False, False, "stopped on request"),
    "stopped, lost": (None, Exit(reason="lost"), True, STOPPED, Cause.STOPPED, False, False, "stopped on request"),
    "stopped, past its deadline": (none(requested="deadline"), Exit(), True, STOPPED, Cause.STOPPED, False, False, "stopped"),
    "stopped before it started": (None, Exit(reason="stopped", message="never"), False, STOPPED, Cause.STOPPED, False, False, "never"),
    "stopped by somebody else": (none(requested="stop"), Exit(), False, STOPPED, Cause.STOPPED, False, False, "stopped on request"),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_the_outcome_table(row: str) -> None:
    end, exit_, stop_requested, status, cause, retry, infrastructure, message = TABLE[row]
    found = verdict(Finished(end=end, exit=exit_, outputs=VALUES), stop_requested)
    assert (found.status, found.cause, found.retry, found.infrastructure) == (status, cause, retry, infrastructure)
    assert (found.message or "").startswith(message)
    assert (found.message is None) == (status is SUCCEEDED)


def test_every_cause_has_a_row() -> None:
    assert {row[4] for row in TABLE.values()} == {*Cause, None}


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

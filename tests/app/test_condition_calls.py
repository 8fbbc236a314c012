"""Functions of conditions are users' code in the scheduler: whatever they do, it goes on."""

import threading

import pytest

from klassd.workflows import Job, JobContext, Workflow, call, composition
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.model.states import NodeStatus, RunStatus
from klassd.workflows.testing import run_workflow

LET_GO = threading.Event()
LOOPING: list[threading.Thread] = []


def weekend(day: str) -> bool:
    return day == "sunday"


def hangs() -> bool:
    LET_GO.clear()
    LET_GO.wait(60)
    return True


def loops() -> bool:
    LOOPING.append(threading.current_thread())
    while True:
        pass


def raises() -> bool:
    raise LookupError("no calendar")


def exits() -> bool:
    raise SystemExit(3)


class Work(Job):
    def run(self, ctx: JobContext) -> None:
        ctx.log("working")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "CONDITION_SECONDS", 0.05)


def test_a_function_is_given_its_arguments_and_answers() -> None:
    assert composition.call_condition(f"{__name__}:weekend", {"day": "sunday"}) is True


def test_what_is_no_function_is_named() -> None:
    with pytest.raises(ConfigurationError, match=f"the condition '{__name__}:LET_GO' is no function"):
        composition.call_condition(f"{__name__}:LET_GO", {})


@pytest.mark.fault("F9")
@pytest.mark.usefixtures("impatient")
def test_a_function_that_loops_for_ever_takes_no_time_of_the_scheduler_afterwards() -> None:
    with pytest.raises(TimeoutError):
        composition.call_condition(f"{__name__}:loops", {})
    LOOPING[-1].join(30)
    assert not LOOPING[-1].is_alive()


@pytest.mark.fault("F9")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("function", "error"),
    [
        (hangs, "TimeoutError: it did not answer within 0.05 s"),
        (loops, "TimeoutError: it did not answer within 0.05 s"),
        (raises, "LookupError: no calendar"),
        (exits, "SystemExit: 3"),
    ],
)
def test_a_function_that_does_not_answer_fails_its_node_and_the_others_go_on(function: object, error: str) -> None:
    wf = Workflow("calendar")
    wf.add("asked", Work(), when=call(function))  # type: ignore[arg-type]
    wf.add("other", Work())
    try:
        result = run_workflow(wf)
    finally:
        LET_GO.set()
    assert result.status is RunStatus.FAILED
    assert result.nodes["asked"].status is NodeStatus.FAILED
    assert error in (result.nodes["asked"].error or "")
    assert result.nodes["other"].lines == ["working"]

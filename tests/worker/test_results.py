"""What a job came to, as its outcome record tells it."""

from __future__ import annotations

from typing import Any

import pytest
from worker_help import Runner, Template, order

from klassd.workflows import __version__


def test_a_return_value_is_the_output(shared: Template) -> None:
    said = shared.run("Add", inputs={"a": 2, "b": 3})
    assert said.end.result == "success" and said.end.exit_code == 0 and said.end.error is None
    assert said.value == 5
    assert said.kinds[:2] == ["hello", "start"] and said.kinds[-2:] == ["val", "end"]


def test_a_coroutine_is_run_on_a_loop(shared: Template) -> None:
    assert shared.run("AddAwaiting", inputs={"a": 2}).value == 3


def test_a_process_of_its_own_does_the_same_and_tells_by_its_exit_code(runner: Runner) -> None:
    assert runner.run("Add", inputs={"a": 2}, code=0).value == 3
    assert runner.run("Fails", code=1).error.message == "no such market"


def test_the_order_is_what_the_context_says(shared: Template) -> None:
    more: dict[str, Any] = {
        "index": 4,
        "attempt": 3,
        "tenant": "acme",
        "tags": ["a", "b"],
        "idempotency_key": "key",
        "fencing_token": 7,
        "config": {"zone": "dk"},
        "inputs": {"x": 6},
    }
    wanted = order("Context", **{**more, "tags": ("a", "b")})
    said = shared.run(wanted)
    known = {name: value for name, value in more.items() if name != "inputs"}
    assert said.value == {
        **known,
        "run_id": "run-1",
        "execution_id": wanted.execution_id,
        "node": "node",
        "arguments": {"x": 6},
        "cancelled": False,
    }


def test_an_exception_is_a_failure_with_the_users_part_of_the_traceback(shared: Template) -> None:
    said = shared.run("Fails")
    assert said.end.result == "failure" and said.end.exit_code == 1 and said.end.cause is None
    assert (said.error.type, said.error.message, said.error.retry) == ("ValueError", "no such market", True)
    assert said.texts[0] == "Traceback (most recent call last):" and said.texts[-1] == "ValueError: no such market"
    assert "sample_jobs.py" in said.texts[1] and "klassd/workflows" not in said.text
    assert {line.level for line in said.lines} == {40}
    assert said.error.traceback.startswith("Traceback") and said.error.traceback.endswith("no such market")


def test_a_permanent_error_is_not_tried_again(shared: Template) -> None:
    assert shared.run("Fails", inputs={"permanent": True}).error.retry is False


def test_an_outcome_record_stays_small_and_readable_whatever_the_error_says(shared: Template) -> None:
    said = shared.run("FailsLongWinded")
    assert said.error.message.startswith("\N{PILE OF POO}")
    assert said.text.count("\N{PILE OF POO}") == 5000
    assert said.bodies("val") == [] and said.end.outputs == {}  # outputs of a failed attempt are never fed on


# -- no result (D14), killed (D1) -----------------------------------------------------------------------------------


@pytest.mark.fault("D14")
@pytest.mark.parametrize(
    ("how", "exit_code", "signal"),
    [("_exit", 0, None), ("sys.exit", 3, None), ("sys.exit text", 1, None), ("kill", None, 9), ("segfault", None, 11)],
)
def test_a_process_that_ends_without_returning_has_no_result(
    shared: Template, how: str, exit_code: int | None, signal: int | None
) -> None:
    end = shared.run("Ends", inputs={"how": how}).end
    assert (end.result, end.exit_code, end.signal, end.outputs) == ("none", exit_code, signal, {})


def test_the_text_of_sys_exit_is_in_the_console(shared: Template) -> None:
    assert "because" in shared.run("Ends", inputs={"how": "sys.exit text"}).text


@pytest.mark.fault("D14")
def test_sys_exit_in_a_thread_ends_that_thread_only(shared: Template) -> None:
    assert shared.run("ExitsInThread").value == "the main thread goes on"


def test_a_thread_may_finish_its_work_after_run_returned(shared: Template) -> None:
    said = shared.run("ThreadOutlives")
    assert said.value == "returned before" and said.texts == ["from the thread"]


# -- after a recorded success (D15) ---------------------------------------------------------------------------------


@pytest.mark.fault("D15", "D16")
@pytest.mark.parametrize(("how", "exit_code", "signal"), [("fine", 0, None), ("_exit", 9, None), ("kill", None, 9)])
def test_a_crash_in_teardown_does_not_undo_a_recorded_success(
    shared: Template, how: str, exit_code: int | None, signal: int | None
) -> None:
    said = shared.run("Teardown", inputs={"how": how})
    assert said.value == "recorded" and said.texts == ["teardown"]
    assert (said.end.result, said.end.exit_code, said.end.signal) == ("success", exit_code, signal)


def test_an_exception_in_teardown_is_shown_and_the_success_stands(shared: Template) -> None:
    said = shared.run("Teardown", inputs={"how": "raise"})
    assert said.end.result == "success" and "RuntimeError: in teardown" in said.text


# -- what cannot be run at all (D17, D18) ---------------------------------------------------------------------------


@pytest.mark.fault("D17")
@pytest.mark.parametrize(
    ("source", "inputs", "message"),
    [
        ("sample_jobs:Ad", {}, "did you mean 'Add'"),
        ("sample_jobs:Add", {"a": "x"}, "expected int, got str 'x'"),
        ("sample_jobs:Add", {}, "a"),
        ("no_such_module:Job", {}, "no_such_module"),
        ("broken_module:Job", {}, "not_installed"),
    ],
)
def test_what_cannot_be_run_is_one_clear_error_and_is_not_tried_again(
    shared: Template, source: str, inputs: dict[str, Any], message: str
) -> None:
    said = shared.run(order("Add", source=source, inputs=inputs))
    assert said.end.cause == "input" and said.error.retry is False and said.end.result == "failure"
    assert message.lower() in said.error.message.lower()
    assert "Traceback" not in said.text or "broken_module" in source


def test_the_traceback_of_a_failing_import_is_the_users_own(shared: Template) -> None:
    said = shared.run(order("Job", source="broken_module:Job"))
    assert "broken_module.py" in said.texts[1]
    assert not any("importlib" in text or "klassd/workflows" in text for text in said.texts)


@pytest.mark.fault("D18")
def test_a_scheduler_of_another_release_line_is_refused_by_name(shared: Template, runner: Runner) -> None:
    for said in (shared.run("Add", inputs={"a": 1}, version="99.1.0"), runner.run("Add", inputs={"a": 1}, version="99.1.0")):
        assert said.end.cause == "input" and said.error.retry is False
        assert "99.1.0" in said.error.message and __version__ in said.error.message
        assert "start" not in said.kinds
    assert shared.run("Add", inputs={"a": 1}, version=__version__).value == 2


# -- outputs --------------------------------------------------------------------------------------------------------


def test_named_outputs_arrive_with_the_return_value_after_the_whole_console(shared: Template) -> None:
    values = {"rows": 3, "names": ["a", "\N{PILE OF POO}"], "rows2": None}
    said = shared.run("Outputs", inputs={"values": values, "result": {"ok": True}})
    assert said.values == {**values, "": {"ok": True}}


def test_a_large_value_arrives_in_pieces_as_it_was(shared: Template) -> None:
    said = shared.run("Returns", inputs={"expression": "unicode"})
    assert said.value == "\u2028é\N{PILE OF POO}" * 3000
    assert len(said.bodies("val")) > 1


def test_a_value_over_the_limit_names_size_limit_and_cure(shared: Template) -> None:
    said = shared.run("Returns", inputs={"expression": "large"})
    assert said.end.cause == "output" and said.error.retry is False
    assert "70,002" in said.error.message and "65,536" in said.error.message and "Artifact" in said.error.message


def test_a_value_that_is_no_json_names_its_type(shared: Template) -> None:
    said = shared.run("Returns", inputs={"expression": "set"})
    assert said.end.cause == "output" and "object" in said.error.message


def test_a_faulty_name_of_an_output_fails_the_job_in_words(shared: Template) -> None:
    assert "name" in shared.run("Outputs", inputs={"values": {"": 1}}).error.message


def test_more_outputs_than_a_record_can_hold_fail_in_words(shared: Template) -> None:
    said = shared.run("Outputs", inputs={"values": {f"a-rather-long-name-{number}": number for number in range(200)}})
    assert said.end.cause == "output" and said.end.outputs == {} and said.bodies("val") == []
    assert "200" in said.error.message or "outputs" in said.error.message


# -- services -------------------------------------------------------------------------------------------------------


def test_services_are_made_for_the_job_that_takes_them_and_closed_after_it(shared: Template) -> None:
    said = shared.run(order("TakesService", module="service_jobs", app="service_jobs:app"))
    assert said.value == "connected"
    assert said.texts == ["opened", "used", "closed"]


def test_a_service_that_nobody_provides_is_named(shared: Template) -> None:
    said = shared.run(order("TakesService", module="service_jobs"))
    assert said.end.cause == "input" and "Connection" in said.error.message


def test_a_service_that_cannot_be_made_now_is_worth_another_try(shared: Template) -> None:
    said = shared.run(order("TakesBroken", module="service_jobs", app="service_jobs:app"))
    assert said.end.cause is None and said.error.retry is True and "no database" in said.error.message

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from klassd.workflows import InvalidInput, job
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job import JobFunction, is_job, job_info, load_job

if TYPE_CHECKING:
    from klassd.workflows import JobContext

CTX: Any = None


@job
def report(ctx: JobContext, market: str, days: int = 7) -> str:
    """Writes a report."""
    return f"{market} {days}"


@job(key="mail", timeout="5m", queue="mails")
async def send(ctx: JobContext, to: str, *, copies: list[str] = []) -> int:  # noqa: B006
    return 1 + len(copies)


def test_calling_it_with_inputs_makes_an_instance_whose_run_calls_the_function() -> None:
    assert report(market="dk").run(CTX) == "dk 7"
    assert report("dk", 1).run(CTX) == "dk 1"
    assert asyncio.run(send(to="a", copies=["b"]).run(CTX)) == 2


def test_the_function_itself_stays_at_hand() -> None:
    assert report.function(CTX, "se") == "se 7"
    assert report.__doc__ == "Writes a report."
    assert report.__name__ == "report"


def test_info_is_of_the_function() -> None:
    info = job_info(report)
    assert (info.key, info.source) == (f"{__name__}:report", f"{__name__}:report")
    assert info is job_info(report(market="dk"))
    assert info.returns is str
    assert info.services == {}
    assert not info.is_async
    assert info.schema()["description"] == "Writes a report."


def test_options_are_those_of_a_class() -> None:
    info = job_info(send)
    assert (info.key, info.options.timeout, info.options.queue) == ("mail", 300.0, "mails")
    assert info.is_async


def test_inputs_are_checked_like_those_of_a_class() -> None:
    info = job_info(report)
    assert info.build({"market": "dk"}) == report(market="dk")
    assert info.encode(report(market="dk")) == {"market": "dk", "days": 7}
    with pytest.raises(
        InvalidInput, match=r"field 'market': missing.*field 'day': there is no such field. Did you mean 'days'"
    ):
        info.build({"day": 3})


def test_a_worker_finds_it_by_its_source() -> None:
    assert load_job(f"{__name__}:report") is job_info(report)


def test_it_counts_as_a_job() -> None:
    assert is_job(report)
    assert not is_job(report.function)
    assert isinstance(report, JobFunction)


def test_a_wrong_option_names_the_function() -> None:
    with pytest.raises(ConfigurationError, match=r"report: there is no option 'que'. Did you mean 'queue'"):
        job(que="x")(report.function)  # type: ignore[call-overload]


def no_context() -> None: ...


def stars(ctx: Any, **inputs: int) -> None: ...


def runs(ctx: Any, run: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_context, "@job function no_context takes no context: its first parameter must be ctx: JobContext"),
        (stars, "@job function stars: parameter **inputs: 'int' has no name to give it by"),
        (runs, "@job function runs: a parameter cannot be named 'run'"),
        (str, "@job makes a job of a function, not of <class 'str'>; a class becomes one with class X(Job)"),
    ],
)
def test_a_function_that_cannot_be_a_job_is_refused_at_once(function: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        job(function)
    assert message in str(caught.value)


def test_an_input_whose_type_is_unknown_at_run_time_is_refused() -> None:
    def late(ctx: Any, what: JobContext) -> None: ...

    with pytest.raises(TypeError, match="the type of a field is not known at run time: name 'JobContext'"):
        job_info(job(late))

from __future__ import annotations

import asyncio
import dataclasses
import types
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import msgspec
import pytest

from klassd.workflows import Artifact, InvalidInput, Job, Pod, Resources, Retry
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job import is_job, job_info
from klassd.workflows.options import Needs, Options, RetryPolicy
from klassd.workflows.pods import PodShape

if TYPE_CHECKING:
    from klassd.workflows import JobContext


class Http: ...


class Hello(Job):
    """Greets."""

    name: str = "world"
    times: Annotated[int, msgspec.Meta(ge=1, description="how often")] = 1

    async def run(self, ctx: JobContext) -> str:
        return " ".join([f"hello {self.name}"] * self.times)


class Report(
    Job,
    key="report",
    resources=Resources(cpu="250m/1", memory="256Mi/512Mi"),
    timeout="30m",
    retry=Retry(3, backoff="10s..5m"),
    queue="reports",
    priority=5,
    start_deadline="10m",
    grace="20s",
):
    market: str

    def run(self, ctx: JobContext) -> None: ...


class Weekly(Report, timeout="1h", queue="weekly"):
    week: int


@dataclasses.dataclass
class Plain:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list, metadata={"description": "labels"})

    def run(self, ctx: JobContext, http: Http) -> int:
        return self.x


CTX: Any = None


def test_fields_become_a_keyword_only_init() -> None:
    assert asyncio.run(Hello(name="team", times=2).run(CTX)) == "hello team hello team"
    with pytest.raises(TypeError, match="positional"):
        Hello("team")  # type: ignore[call-arg]


def test_options_of_a_class_are_what_it_says() -> None:
    info = job_info(Report)
    assert info.key == "report"
    assert info.options == Options(
        timeout=1800.0,
        grace=20.0,
        start_deadline=600.0,
        retry=RetryPolicy(times=3, first=10.0, most=300.0, infrastructure=3),
        queue="reports",
        priority=5,
        resources=Needs(cpu="250m/1", memory="256Mi/512Mi"),
    )


def test_a_subclass_inherits_options_one_by_one_but_never_the_key() -> None:
    info = job_info(Weekly)
    assert info.key == f"{__name__}:Weekly"
    assert (info.options.timeout, info.options.queue, info.options.priority) == (3600.0, "weekly", 5)
    assert info.options.retry.times == 3
    assert [field.name for field in info.fields] == ["market", "week"]
    assert job_info(Report).options.queue == "reports"


def test_a_subclass_inherits_resources_one_by_one() -> None:
    class Large(Report, resources=Resources(memory="/8Gi", extended={"nvidia.com/gpu": 1})): ...

    class Free(Large, resources="unconstrained"): ...

    expected = Needs(cpu="250m/1", memory="256Mi/8Gi", extended={"nvidia.com/gpu": "1"})
    assert job_info(Large).options.resources == expected
    assert job_info(Free).options.resources == Needs(unconstrained=True)


def test_the_pods_of_a_class_are_what_it_and_its_bases_say_the_strongest_last() -> None:
    class Based(Report, pod=Pod(image="base:1")): ...

    class Derived(Based, pod=Pod(env={"A": "a"})): ...

    assert job_info(Derived).pods == (PodShape(image="base:1"), PodShape(env={"A": "a"}))
    assert job_info(Report).pods == ()


def test_a_subclass_can_take_an_inherited_limit_away() -> None:
    class Endless(Report, timeout=None): ...

    assert job_info(Endless).options.timeout is None


def test_key_source_name_and_result_are_read_from_the_class() -> None:
    info = job_info(Hello)
    assert (info.key, info.source, info.name) == (f"{__name__}:Hello", f"{__name__}:Hello", "Hello")
    assert info.returns is str
    assert info.is_async
    assert not job_info(Plain).is_async


def test_a_plain_dataclass_with_run_is_a_job_and_its_further_parameters_are_services() -> None:
    info = job_info(Plain)
    assert info.services == {"http": Http}
    assert info.build({"x": 3}) == Plain(x=3)


def test_info_is_the_same_for_class_and_instance_and_made_once() -> None:
    assert job_info(Hello) is job_info(Hello()) is job_info(Hello)


def test_a_subclass_has_an_info_of_its_own() -> None:
    assert job_info(Report) is not job_info(Weekly)


def test_a_context_imported_for_the_type_checker_only_does_no_harm() -> None:
    assert "JobContext" not in globals()
    assert job_info(Hello).services == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_out": "5m"}, "Bad: there is no option 'time_out'. Did you mean 'timeout'?"),
        ({"colour": 1}, "Bad: there is no option 'colour'. There are key, timeout, retry, queue,"),
        ({"timeout": "soon"}, "Bad: timeout is 'soon': expected a duration longer than 0: seconds, or text such as '30s'"),
        ({"timeout": 0}, "Bad: timeout is 0: expected a duration longer than 0"),
        ({"timeout": float("inf")}, "Bad: timeout is inf: expected a duration longer than 0"),
        ({"grace": -1}, "Bad: grace is -1: expected a duration"),
        ({"start_deadline": True}, "Bad: start_deadline is True: expected a duration"),
        ({"retry": 3}, "Bad: retry is 3: expected Retry(times, backoff='10s..5m')"),
        (
            {"resources": "1"},
            "Bad: resources is '1': expected Resources(cpu='250m/1', memory='256Mi/512Mi') or 'unconstrained'",
        ),
        ({"pod": {"image": "x"}}, "Bad: pod is {'image': 'x'}: expected Pod(image=..., env=..., ...)"),
        ({"queue": ""}, "Bad: queue is '': expected a name of 1 to 200 printable characters"),
        ({"key": "a\nb"}, "Bad: key is 'a\\nb': expected a name"),
        ({"priority": "high"}, "Bad: priority is 'high': expected a whole number; higher goes first"),
    ],
)
def test_a_bad_option_names_class_option_value_and_expected_form(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        types.new_class("Bad", (Job,), options)
    assert message in str(caught.value)


def test_all_bad_options_of_a_class_are_said_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"timeout is 'x'.*; Bad: queue is ''"):
        types.new_class("Bad", (Job,), {"timeout": "x", "queue": ""})


class NotRunnable(Job):
    x: int = 1


class Loose:
    def run(self, ctx: JobContext) -> None: ...


class Generating(Job):
    def run(self, ctx: JobContext) -> Iterator[int]:
        yield 1


class GeneratingLater(Job):
    async def run(self, ctx: JobContext) -> AsyncIterator[int]:
        yield 1


class NoContext(Job):
    def run(self) -> None: ...


class Unnamed(Job):
    def run(self, ctx: JobContext, *rest: int) -> None: ...


class Untyped(Job):
    def run(self, ctx: JobContext, http) -> None: ...  # type: ignore[no-untyped-def]


class NotAClass(Job):
    def run(self, ctx: JobContext, http: int | str) -> None: ...


class Complex(Job):
    z: complex

    def run(self, ctx: JobContext) -> None: ...


class TwoDataclasses(Job):
    either: Hello | Plain

    def run(self, ctx: JobContext) -> None: ...


class Hidden(Job):
    ctx_type: JobContext

    def run(self, ctx: JobContext) -> None: ...


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "int is no job: it has no run(self, ctx)"),
        (NotRunnable, "NotRunnable is no job: it has no run(self, ctx)"),
        (Loose(), "Loose is no job: derive it from Job, or make it a dataclass with run(self, ctx)"),
        (test_a_subclass_has_an_info_of_its_own, "is a function, not a job; put @job above it"),
        (Generating, "Generating.run is a generator; return the value instead"),
        (GeneratingLater, "GeneratingLater.run is a generator"),
        (NoContext, "NoContext.run takes no context: its first parameter must be ctx: JobContext"),
        (Unnamed, "Unnamed.run: parameter *rest: 'int' has no name to give it by"),
        (Untyped, "Untyped.run: parameter 'http' is a service to inject and needs a class as its annotation"),
        (NotAClass, "NotAClass.run: parameter 'http' is a service to inject and needs a class"),
        (Complex, "Complex: field 'z': type complex cannot travel as JSON; use a dataclass"),
        (TwoDataclasses, "TwoDataclasses: field 'either': Type unions may not contain more than one dataclass"),
        (Hidden, "Hidden: the type of a field is not known at run time: name 'JobContext' is not defined; import it outside"),
    ],
)
def test_what_is_no_job_is_refused_with_a_cure(thing: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        job_info(thing)
    assert message in str(caught.value)


def test_an_abstract_job_is_not_taken_for_one_that_can_run() -> None:
    class Base(Job, ABC):
        @abstractmethod
        def run(self, ctx: JobContext) -> None: ...

    class Real(Base):
        def run(self, ctx: JobContext) -> None: ...

    assert not is_job(Base)
    assert is_job(Real)


def test_a_post_init_that_refuses_is_a_problem_of_the_input() -> None:
    class Picky(Job):
        x: int

        def __post_init__(self) -> None:
            if self.x > 5:
                raise ValueError("x is too big")

        def run(self, ctx: Any) -> None: ...

    with pytest.raises(InvalidInput, match="x is too big"):
        job_info(Picky).build({"x": 6})


def test_a_field_that_init_does_not_take_is_no_input() -> None:
    assert [field.name for field in job_info(Counted).fields] == ["start"]
    assert job_info(Counted).encode(Counted(start=1)) == {"start": 1}


class Counted(Job):
    start: int
    seen: int = dataclasses.field(default=0, init=False)

    def run(self, ctx: JobContext) -> None: ...


class Size(TypedDict):
    width: int


class Rich(Job):
    size: Size
    parcel: Artifact[bytes] | None = None

    def run(self, ctx: JobContext) -> None: ...


def test_the_schema_tells_types_defaults_limits_and_descriptions() -> None:
    schema = job_info(Hello).schema()
    assert schema["title"] == "Hello"
    assert schema["description"] == "Greets."
    assert schema["required"] == []
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "name": {"type": "string", "default": "world"},
        "times": {"type": "integer", "minimum": 1, "description": "how often", "default": 1},
    }
    assert job_info(Plain).schema()["properties"]["tags"]["description"] == "labels"


def test_the_schema_of_nested_types_is_complete_in_itself() -> None:
    schema = job_info(Rich).schema()
    assert schema["required"] == ["size"]
    assert schema["properties"]["size"] == {"$ref": "#/$defs/Size"}
    assert set(schema["$defs"]) == {"Size", "Artifact_bytes_"}
    assert "description" not in schema

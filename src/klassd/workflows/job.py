"""Jobs: a class (or a function) whose fields are the inputs and whose ``run`` does the work.

    class Hello(Job):
        name: str = "world"

        async def run(self, ctx: JobContext) -> str:
            return f"greeted {self.name}"

The instance is the call: it is enqueued, wired into a workflow and unit-tested as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    dataclass_transform,
    get_type_hints,
    overload,
)  # fmt: skip

from klassd.workflows.context import JobContext
from klassd.workflows.errors import ConfigurationError, InvalidInput, PermanentError
from klassd.workflows.fields import Field, Fields, check_type, json_bytes
from klassd.workflows.importable import near, source_of
from klassd.workflows.job_options import ClassOptions, Grow, Resources, Retry, checked, merged
from klassd.workflows.options import Options

if TYPE_CHECKING:
    from klassd.workflows.order import ContainerSpec
    from klassd.workflows.pod_shape import PodShape

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_INFO = "__klassd_info__"
_OPTIONS = "__klassd_options__"
_FUNCTION = "__klassd_function__"
_OWN_INFO = "__klassd_own_info__"  # of an instance that is a job by itself: a container


@dataclass_transform(kw_only_default=True, field_specifiers=(dataclasses.field,))
class Job:
    """Base of job classes. Makes the class a keyword-only dataclass and takes its options:

        class Report(Job, key="report", timeout="30m", retry=Retry(3, backoff="10s..5m"), queue="reports"): ...

    ``key``: the name it is known by, ``module:Class`` if not given; never inherited. The other options are inherited and
    may be given anew: ``timeout`` (of one execution), ``retry``, ``queue``, ``priority`` (higher first), ``start_deadline``
    (from launch to start), ``grace`` (between the request to stop and the kill), ``resources``, ``pod``. Durations are
    seconds or text such as "1h30m". A wrong option raises ``ConfigurationError``.
    """

    def __init_subclass__(cls, **options: Unpack[ClassOptions]) -> None:
        super().__init_subclass__()
        setattr(cls, _OPTIONS, checked(cls.__qualname__, dict(options)))
        dataclasses.dataclass(kw_only=True)(cls)


class JobCall(Protocol[R_co]):
    """An ``@job`` function with its inputs: what is enqueued, wired or run."""

    def run(self, ctx: JobContext, /) -> R_co: ...


class JobFunction(Generic[P, R_co]):
    """A function made a job. Calling it with the inputs gives the job instance; ``.function`` is the function itself."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., R_co], options: ClassOptions) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.cls = _class_of(function, options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> JobCall[R_co]:
        instance: JobCall[R_co] = self.cls(*args, **kwargs)
        return instance


class _Decorator(Protocol):
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> JobFunction[P, R]: ...


@overload
def job(function: Callable[Concatenate[JobContext, P], R], /) -> JobFunction[P, R]: ...
@overload
def job(**options: Unpack[ClassOptions]) -> _Decorator: ...
def job(function: Any = None, /, **options: Any) -> Any:
    """Make a job of a function, sync or async: ``@job`` or ``@job(timeout="5m")``, options as of ``Job``.

    Its first parameter is the context, the others are the inputs; services are for classes.

        @job
        async def report(ctx: JobContext, market: str, days: int = 7) -> str: ...

        await client.enqueue(report(market="dk"))
    """
    if function is None:
        return lambda each: JobFunction(each, options)  # type: ignore[arg-type]
    return JobFunction(function, {})


def _class_of(function: Callable[..., Any], options: ClassOptions) -> Any:
    """The dataclass that stands behind an ``@job`` function."""
    if not inspect.isfunction(function):
        raise TypeError(f"@job makes a job of a function, not of {function!r}; a class becomes one with class X(Job)")
    parameters = _parameters(function, f"@job function {function.__qualname__}")
    names = tuple(each.name for each in parameters)

    def run(self: Any, ctx: JobContext) -> Any:
        return function(ctx, **{name: getattr(self, name) for name in names})

    namespace = {
        "run": run,
        _FUNCTION: function,
        _OPTIONS: checked(function.__qualname__, dict(options)),
        "__doc__": function.__doc__,
    }
    fields = [(each.name, each.annotation, _dataclass_field(each)) for each in parameters]
    cls = dataclasses.make_dataclass(function.__name__, fields, namespace=namespace)
    cls.__module__, cls.__qualname__ = function.__module__, function.__qualname__
    return cls


def _dataclass_field(parameter: inspect.Parameter) -> Any:
    kw_only = parameter.kind is parameter.KEYWORD_ONLY
    default = parameter.default
    if default is parameter.empty:
        return dataclasses.field(kw_only=kw_only)
    if default.__class__.__hash__ is None:  # a list or dict: shared by every instance, as the function's own default is
        return dataclasses.field(default_factory=lambda: default, kw_only=kw_only)
    return dataclasses.field(default=default, kw_only=kw_only)


class JobInfo:
    """Everything known of one job class. Made by ``job_info``."""

    container: ContainerSpec | None = None  # an image to run in place of code

    def __init__(self, cls: type) -> None:
        own = vars(cls).get(_OPTIONS, {})
        self.cls = cls
        self.function: Callable[..., Any] | None = vars(cls).get(_FUNCTION)
        self.key: str = own.get("key") or f"{_shown_module(cls)}:{cls.__qualname__}"
        layers = [vars(base).get(_OPTIONS, {}) for base in reversed(cls.__mro__)]
        self.options: Options = merged(Options(), *layers)
        self.pods: tuple[PodShape, ...] = tuple(layer["pod"] for layer in layers if "pod" in layer)  # the strongest last
        work = self.function or cls.run  # type: ignore[attr-defined]
        self.is_async = inspect.iscoroutinefunction(work)
        hints = _hints(work)
        self.returns: Any = hints.get("return", Any)
        self.services: dict[str, type] = {} if self.function else _services(cls, hints)
        self.fields = Fields(self.key, _fields(cls, self.function))

    def __repr__(self) -> str:
        return f"<job {self.key}>"

    @property
    def name(self) -> str:
        """The class's or function's own name."""
        return self.cls.__name__

    @functools.cached_property
    def source(self) -> str:
        """``module:name`` to import it by. Raises ``ConfigurationError`` with a cure when no other process could."""
        return source_of(self.cls, "job")

    def build(self, inputs: dict[str, Any]) -> Any:
        """An instance from JSON. Raises ``InvalidInput`` naming field, value and rule, all problems at once."""
        values = self.fields.decode(inputs)
        try:
            return self.cls(**values)
        except (TypeError, ValueError) as error:  # of a __post_init__
            raise InvalidInput(self.key, [str(error)]) from error

    def encode(self, instance: object) -> dict[str, Any]:
        """The inputs of an instance as JSON, checked. Raises ``InvalidInput`` with all problems at once."""
        return self.fields.encode({field.name: getattr(instance, field.name) for field in self.fields})

    def schema(self) -> dict[str, Any]:
        """JSON Schema of its inputs."""
        doc = inspect.cleandoc(self.cls.__doc__ or "")
        written = doc and not doc.startswith(f"{self.cls.__name__}(")  # dataclass writes the signature where there is none
        return {"title": self.name, **({"description": doc} if written else {}), **self.fields.schema()}


def job_info(thing: object) -> JobInfo:
    """Of a job class, an instance or an ``@job`` function. Raises TypeError with a cure when it is no job."""
    if isinstance(own := getattr(thing, _OWN_INFO, None), JobInfo):
        return own
    cls: Any = thing.cls if isinstance(thing, JobFunction) else thing if isinstance(thing, type) else type(thing)
    info: JobInfo | None = vars(cls).get(_INFO)
    if info is None:
        _check_job(cls, thing)
        info = JobInfo(cls)
        setattr(cls, _INFO, info)
    return info


def is_job(thing: object) -> bool:
    """Whether it is a job class that can run, or an ``@job`` function."""
    if not isinstance(thing, type):
        return isinstance(thing, JobFunction)
    return dataclasses.is_dataclass(thing) and inspect.isfunction(getattr(thing, "run", None)) and not inspect.isabstract(thing)


def load_job(source: str) -> JobInfo:
    """Import ``module:name``. Raises ``PermanentError`` naming what is missing and the names that look alike."""
    module_name, _, name = source.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise PermanentError(f"job {source!r} cannot be imported: {error}") from error
    thing = getattr(module, name, None)
    if thing is None:
        jobs = [each for each, value in vars(module).items() if is_job(value)]
        hint = near(name, jobs) or f" Its jobs: {', '.join(jobs) or 'none'}."
        raise PermanentError(f"job {source!r}: module {module_name} has no {name!r}.{hint}")
    try:
        return job_info(thing)
    except TypeError as error:
        raise PermanentError(f"job {source!r}: {error}") from error


def encode_output(value: object) -> bytes:
    """JSON of a return value or of a named output. Raises TypeError naming the type and what to do."""
    return json_bytes(value)


# -- what a class says of itself ----------------------------------------------------------------------------------


def _check_job(cls: Any, thing: object) -> None:
    if inspect.isfunction(thing):
        raise TypeError(f"{thing.__qualname__} is a function, not a job; put @job above it")
    if not callable(getattr(cls, "run", None)):
        raise TypeError(f"{cls.__qualname__} is no job: it has no run(self, ctx)")
    if not hasattr(cls, "__dataclass_fields__"):
        raise TypeError(f"{cls.__qualname__} is no job: derive it from Job, or make it a dataclass with run(self, ctx)")
    if inspect.isgeneratorfunction(cls.run) or inspect.isasyncgenfunction(cls.run):
        raise TypeError(f"{cls.__qualname__}.run is a generator; return the value instead (a list, or an Artifact)")


def _shown_module(cls: type) -> str:
    """As it will be imported by; for what stands in a script, its plain name, which ``source`` then refuses."""
    try:
        return source_of(cls, "job").partition(":")[0]
    except ConfigurationError:
        return cls.__module__


def _parameters(function: Callable[..., Any], what: str, skip: int = 1) -> list[inspect.Parameter]:
    """The parameters after the context (and self)."""
    parameters = list(inspect.signature(function).parameters.values())
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    first = [each for each in parameters[:skip] if each.kind in (named[0], inspect.Parameter.POSITIONAL_ONLY)]
    if len(first) < skip:
        raise TypeError(f"{what} takes no context: its first parameter must be ctx: JobContext")
    for each in parameters[skip:]:
        if each.kind not in named:
            raise TypeError(f"{what}: parameter {each} has no name to give it by; write each parameter out")
        if each.name == "run":
            raise TypeError(f"{what}: a parameter cannot be named 'run', which is what a job does; rename it")
    return parameters[skip:]


def _services(cls: Any, hints: dict[str, Any]) -> dict[str, type]:
    """The further parameters of ``run``: injected, so each needs a type to ask for."""
    services: dict[str, type] = {}
    for parameter in _parameters(cls.run, f"{cls.__qualname__}.run", skip=2):
        service = hints.get(parameter.name)
        if not isinstance(service, type):
            found = "no annotation" if parameter.annotation is parameter.empty else f"{parameter.annotation!r}"
            raise TypeError(
                f"{cls.__qualname__}.run: parameter {parameter.name!r} is a service to inject and needs a class as its"
                f" annotation, importable at run time; found {found}. Inputs are fields of the class"
            )
        services[parameter.name] = service
    return services


def _fields(cls: Any, function: Callable[..., Any] | None) -> list[Field]:
    hints = _field_hints(cls, function)
    fields = [
        Field(
            name=each.name,
            type=hints.get(each.name, Any),
            required=each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING,
            default=_default(each),
            description=str(each.metadata.get("description", "")),
        )
        for each in dataclasses.fields(cls)
        if each.init
    ]
    for field in fields:
        try:
            check_type(field.type)
        except TypeError as error:
            raise TypeError(f"{cls.__qualname__}: field {field.name!r}: {error}") from None
    return fields


def _default(field: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    return None if field.default is dataclasses.MISSING else lambda: field.default


def _field_hints(cls: type, function: Callable[..., Any] | None) -> dict[str, Any]:
    try:
        return _function_field_hints(function) if function else get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{cls.__qualname__}: the type of a field is not known at run time: {error};"
            " import it outside of 'if TYPE_CHECKING', at the top level of the module"
        ) from None


def _function_field_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """All but the context's and the result's: those are often imported for the type checker only."""
    names = list(inspect.signature(function).parameters)[1:]
    return {name: _hint(function, name) for name in names if name in function.__annotations__}


class _Annotations:
    """Something with annotations, for ``get_type_hints`` to resolve them one by one."""

    def __init__(self, name: str, annotation: Any) -> None:
        self.__annotations__ = {name: annotation}


def _hint(function: Any, name: str) -> Any:
    annotations = _Annotations(name, function.__annotations__[name])
    return get_type_hints(annotations, getattr(function, "__globals__", {}), include_extras=True)[name]


def _hints(function: Any) -> dict[str, Any]:
    """Of a ``run``: those that can be resolved."""
    hints: dict[str, Any] = {}
    for name in getattr(function, "__annotations__", {}):
        with suppress(NameError):
            hints[name] = _hint(function, name)
    return hints


__all__ = [
    "ClassOptions", "Grow", "Job", "JobCall", "JobFunction", "JobInfo", "Resources", "Retry",
    "encode_output", "is_job", "job", "job_info", "load_job",
]  # fmt: skip

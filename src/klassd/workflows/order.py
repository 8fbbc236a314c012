"""What goes to a worker (the order) and the record it leaves (the end)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from klassd.workflows.options import EngineOptions, Service

if TYPE_CHECKING:
    from klassd.workflows.pod_shape import PodShape
else:  # a worker never gets one, and does not pay for the import
    PodShape = Any


class FileSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a container leaves behind, as an output."""

    path: str  # in the container
    format: Literal["json", "text"] = "json"
    default: Any = msgspec.UNSET  # the output where there is no such file; UNSET: then the attempt fails


class ContainerSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image to run in place of a job's code. What may hold references stands in the inputs: "args" and "env"."""

    image: str
    command: tuple[str, ...] = ()  # empty: the image's own
    outputs: dict[str, FileSpec] = {}


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything one execution needs, for the executor and for the worker. JSON."""

    execution_id: str
    run_id: str
    node: str
    index: int = 0
    attempt: int = 1
    job: str  # key, as shown
    source: str  # "module:qualname"
    app: str = ""  # "module:attribute", for injected services
    inputs: dict[str, Any] = {}
    timeout: float | None = None
    grace: float = 10.0
    start_deadline: float | None = None
    tenant: str = ""
    tags: tuple[str, ...] = ()
    idempotency_key: str = ""  # the same for every attempt of a task
    fencing_token: int = 0  # grows with every attempt and owner
    config: dict[str, Any] = {}
    artifacts: str = ""  # URL of the artifact store
    nonce: str = ""
    expires: float | None = None  # Clock.monotonic() after which nobody may start it any more: the end of the launcher's lease
    version: str = ""  # of the scheduler; a worker of another protocol refuses
    claim: str = ""  # secret that its start is claimed with; the executor hands it over apart, for the order is no secret
    service: Service | None = None  # it is one
    container: ContainerSpec | None = None  # an image to run; ``inputs`` then hold its "args" and "env"
    uses_services: bool = False  # an image that could use some
    engine: EngineOptions | None = None  # that runs the container, where its worker does that
    pod: PodShape | None = None  # what job, node and configuration say of the pod; for the executor, it does not travel

    def encoded(self) -> bytes:
        """As it travels to the worker."""
        return msgspec.json.encode(msgspec.structs.replace(self, pod=None, claim="") if self.pod or self.claim else self)


class Error(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    message: str
    traceback: str = ""
    retry: bool = True


class End(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome record: the last frame, the outcome file, the termination message. At most 3 KiB as JSON."""

    result: str  # "success", "failure", "none": what the job itself came to
    error: Error | None = None  # message and traceback shortened to fit; the whole traceback is in the console
    stored: bool = True  # False: a result was produced but an output could not be stored
    requested: str | None = None  # "stop", "deadline" or "not_ready": took effect before the result was recorded
    cause: str | None = None  # a Cause the worker knows better than the exit code: "input", "output"
    exit_code: int | None = None  # of the job's own process
    signal: int | None = None
    killed: bool = False  # it did not end by itself within the grace
    lines: int = 0  # lines of console produced in all
    outputs: dict[str, tuple[int, str]] = {}  # manifest: name ("" is the return value) -> (bytes of JSON, crc32 as hex)
    warnings: tuple[str, ...] = ()
    started_at: float = 0.0
    returned_at: float = 0.0  # the job's run came back, or raised; 0: it did not
    finished_at: float = 0.0

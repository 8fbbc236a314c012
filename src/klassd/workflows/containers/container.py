"""``Container``: an image with what it is given, in the place of a job instance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import msgspec

from klassd.workflows.containers import checks
from klassd.workflows.context import JobContext
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.fields import Field, Fields
from klassd.workflows.job import JobInfo
from klassd.workflows.job_options import ClassOptions, checked, merged
from klassd.workflows.options import Options
from klassd.workflows.order import ContainerSpec, FileSpec

SOURCE = "klassd.workflows.containers.running:RunContainer"  # what runs it where a worker does: with docker or podman
_NAME = re.compile(r"(?:.*/)?([^/:@]+)(?::[^/@]*)?(?:@.*)?")


class FileOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that a container leaves at ``path``, as an output: at most 64 KiB, like every output.

    ``format``: "json" must be JSON, "text" is the text itself without newlines at its end. ``default`` is the output where
    there is no such file; without one the attempt fails then. The directory of ``path`` is empty when the container starts.
    """

    path: str
    default: Any = msgspec.UNSET
    format: Literal["json", "text"] = "json"

    @property
    def spec(self) -> FileSpec:
        return FileSpec(path=self.path, format=self.format, default=self.default)


class Container:
    """An image to run as a job: its exit code is the outcome, what it prints is the console.

        wf.add("importer", Container("importer:3", args=["--market", proxy.output.market], env={"MODE": "fast"}))

    ``command`` and ``args`` as in Kubernetes: they replace the image's entry point and its arguments. ``args`` and the values
    of ``env`` may be references; text is passed as it is, anything else as JSON, and a variable that is null is not set.
    ``outputs``: files to read when it has ended well. ``key``: the name it is known by, the image's own if not given. The
    other options are as of ``Job``. Raises ``ConfigurationError`` with all problems.
    """

    def __init__(
        self,
        image: str,
        *,
        command: Sequence[str] = (),
        args: Sequence[Any] = (),
        env: Mapping[str, Any] | None = None,
        outputs: Mapping[str, FileOutput] | None = None,
        **options: Unpack[ClassOptions],
    ) -> None:
        if problems := list(checks.problems(image, command, args, env or {}, outputs or {}, options)):
            raise ConfigurationError("; ".join(f"Container: {problem}" for problem in problems))
        self.image = image
        self.command = tuple(command)
        self.args = list(args)
        self.env = dict(env or {})
        self.outputs = dict(outputs or {})
        self.options = options
        self.__klassd_own_info__ = ContainerInfo(self)

    def run(self, ctx: JobContext) -> dict[str, Any]:
        """Run it here, with docker or podman, to its end; its file outputs by name."""
        from klassd.workflows.containers.running import run_container

        info = self.__klassd_own_info__
        return run_container(info.container, info.encode(self), ctx)

    def __repr__(self) -> str:
        return f"<container {self.image}>"


class ContainerInfo(JobInfo):
    """What ``JobInfo`` is for a class, for one container."""

    container: ContainerSpec

    def __init__(self, container: Container) -> None:
        options = checked("Container", dict(container.options))
        self._made = container
        self.cls = Container
        self.function = None
        self.key = options.get("key") or name_of(container.image)
        self.options: Options = merged(Options(), options)
        self.pods = (options["pod"],) if "pod" in options else ()
        self.is_async = False
        self.returns = dict[str, Any]
        self.services = {}
        self.container = ContainerSpec(
            image=container.image,
            command=container.command,
            outputs={name: output.spec for name, output in container.outputs.items()},
        )
        # No defaults: each run is given both, so that all runs of an image share one definition.
        self.fields = Fields(self.key, [Field("args", list[Any], required=False), Field("env", dict[str, Any], required=False)])

    @property
    def name(self) -> str:
        return self.key

    @property
    def source(self) -> str:
        return SOURCE

    def build(self, inputs: dict[str, Any]) -> Container:
        """The same with other ``args`` or ``env``."""
        made = self._made
        given = {"args": made.args, "env": made.env} | self.fields.decode(inputs)
        return Container(made.image, command=made.command, outputs=made.outputs, **given, **made.options)

    def schema(self) -> dict[str, Any]:
        schema = self.fields.schema()
        for name, value in self.encode(self._made).items():
            schema["properties"][name]["default"] = value
        return {"title": self.key, "description": f"The image {self._made.image}.", **schema}


def name_of(image: str) -> str:
    """``registry:5000/tools/importer:1.2@sha256:...`` is called "importer"."""
    found = _NAME.fullmatch(image)
    return found[1] if found else image

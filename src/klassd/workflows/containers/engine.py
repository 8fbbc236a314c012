"""docker or podman: their command lines, which are the same for what is needed here. No shell reads any of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from klassd.workflows.containers.words import Words
from klassd.workflows.errors import LaunchRefused
from klassd.workflows.options import EngineOptions
from klassd.workflows.order import ContainerSpec

ENGINES = ("docker", "podman")
ANSWER = 30.0  # seconds an engine has to say that it is there
LOOPBACK = "127.0.0.1"  # nobody else's machine
LABEL = "dev.klassd.execution"


@dataclass(frozen=True)
class Engine:
    path: str

    def version(self) -> list[str]:
        """Fails where nothing can be run: docker is but the client of a server."""
        return [self.path, "version", "--format", "{{.Server.Version}}" if self._is_docker else "{{.Client.Version}}"]

    @property
    def _is_docker(self) -> bool:
        return os.path.basename(self.path) == "docker"

    @property
    def _private(self) -> str:
        """A network of its own, whatever the default is: podman then takes the one that works for its user."""
        return "bridge" if self._is_docker else "private"

    def has(self, image: str) -> list[str]:
        return [self.path, "image", "inspect", "--format", "-", image]

    def pull(self, image: str) -> list[str]:
        return [self.path, "pull", "--quiet", image]

    def create(
        self, name: str, spec: ContainerSpec, given: Words, options: EngineOptions, port: int | None = None
    ) -> list[str]:
        """As Kubernetes reads command and args: a command replaces the image's entry point and its arguments. ``port``: of this
        machine, where a service is reached."""
        entry, rest = spec.command[:1], spec.command[1:]
        return [
            self.path,
            "create",
            f"--name={name}",
            f"--label={LABEL}={name}",
            *(f"--env={variable}={value}" for variable, value in given.env.items()),
            *([f"--memory={options.memory}b"] if options.memory else []),
            *([f"--cpus={options.cpus:g}"] if options.cpus else []),
            *([f"--network={self._private}", f"--publish={LOOPBACK}:{port}:{options.port}"] if options.port and port else []),
            *(["--network=host"] if options.host_network else []),
            *(f"--entrypoint={word}" for word in entry),
            spec.image,
            *rest,
            *given.args,
        ]

    def start(self, name: str) -> list[str]:
        """Its output becomes this process's."""
        return [self.path, "start", "--attach", name]

    def stop(self, name: str, seconds: int) -> list[str]:
        return [self.path, "stop", f"--time={seconds}", name]

    def state(self, name: str) -> list[str]:
        return [self.path, "inspect", "--type=container", "--format={{json .State}}", name]

    def put(self, name: str) -> list[str]:
        """A tar archive from standard input, unpacked at its root."""
        return [self.path, "cp", "-", f"{name}:/"]

    def get(self, name: str, path: str) -> list[str]:
        """One file as a tar archive."""
        return [self.path, "cp", f"{name}:{path}", "-"]

    def remove(self, name: str) -> list[str]:
        """At once, whether it runs or not, with its volumes."""
        at_once = [] if self._is_docker else ["--time=0"]  # docker asks nothing before it kills
        return [self.path, "rm", "--force", *at_once, "--volumes", name]


def find_engine(path: str | None = None) -> Engine:
    """The first that answers, docker before podman; ``path`` as of ``PATH``. Raises ``LaunchRefused``."""
    found = [each for name in ENGINES if (each := shutil.which(name, path=path))]
    silent = []
    for each in found:
        if not (problem := _problem(Engine(each))):
            return Engine(each)
        silent.append(f"{each} does not answer ({problem})")
    raise LaunchRefused(
        f"an image runs here with docker or podman, and {'; '.join(silent) or 'there is neither on the PATH'}:"
        " install one, or run it in a cluster (KLASSD_EXECUTOR=kubernetes)"
    )


def _problem(engine: Engine) -> str:
    try:
        done = subprocess.run(engine.version(), stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return last_line(done) if done.returncode else ""


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """Of its complaints."""
    lines = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def container_name(execution_id: str) -> str:
    """The same for whoever starts, stops or clears an execution."""
    return f"klassd-{execution_id}"

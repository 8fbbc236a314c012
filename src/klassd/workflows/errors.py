"""What can go wrong, by name. Each message says what was found, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class KlassdError(Exception):
    """The base of every error this package raises on purpose."""


class PermanentError(KlassdError):
    """Raise it (or a subclass) from a job whose failure no retry can mend: the task fails at once."""


class ContainerFailed(KlassdError):
    """A container did not end well. ``cause`` as of an execution, "exit" for an exit code other than 0."""

    def __init__(self, message: str, *, cause: str = "exit", exit_code: int = 1) -> None:
        self.cause, self.exit_code = cause, exit_code
        super().__init__(message)


class JobCancelled(BaseException):
    """Raised in the main thread of a synchronous job when its execution is asked to stop.

    A ``BaseException``, like ``asyncio.CancelledError``: a job's own ``except Exception`` does not swallow it.
    """


class InvalidInput(KlassdError):
    """An input that does not fit the job's field. ``problems`` holds a sentence for each."""

    def __init__(self, job: str, problems: Sequence[str]) -> None:
        self.job = job
        self.problems = tuple(problems)
        super().__init__(f"{job}: " + "; ".join(self.problems))


class InvalidWorkflow(KlassdError):
    """A workflow that cannot run. ``problems`` holds all of them, a sentence each."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name = name
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"workflow {name!r} has {len(self.problems)} problem(s):{lines}")


class UnknownName(KlassdError):
    """No job, workflow or run of that name. ``near`` holds the names that look alike; ``known`` is how many were
    compared, 0 where nobody counted."""

    def __init__(self, kind: str, name: str, near: Sequence[str] = (), known: int = 0) -> None:
        self.kind, self.name, self.near = kind, name, tuple(near)
        hint = f" Did you mean {' or '.join(repr(n) for n in self.near)}?" if self.near else ""
        among = f" among {known}" if known else ""
        super().__init__(f"no {kind} named {name!r}{among}.{hint}")


class ConfigurationError(KlassdError):
    """A setting that cannot be used: names the setting, its value, where it came from and what is expected."""


class StoreError(KlassdError):
    """The store could not do it."""


class SchemaMismatch(StoreError):
    """The store's schema is older or newer than this version speaks; names both and the command that mends it."""


class Unstorable(KlassdError):
    """A value no store can hold: names it and says why. Trying again does not help, unlike after a ``StoreError``."""


class ArtifactError(KlassdError):
    """An artifact that is missing, damaged or misnamed; names the artifact and what was found."""


class ArtifactMissing(ArtifactError, PermanentError):
    """There is no artifact where a reference points to. No retry brings it back."""


class ArtifactNotStored(ArtifactError):
    """An artifact that its store did not take, for all it was tried. The attempt fails as ``output``; another may succeed."""


class LaunchRefused(KlassdError):
    """The executor can never launch this execution: the attempt fails with this message."""


class LaunchDelayed(KlassdError):
    """The executor cannot launch it now; try again after ``retry_after`` seconds. The attempt is not consumed."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)

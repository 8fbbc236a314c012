"""The jobs and workflows of an app, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import ModuleType

from klassd.workflows.discovery import jobs_in
from klassd.workflows.errors import ConfigurationError, KlassdError, UnknownName
from klassd.workflows.job import JobInfo, job_info
from klassd.workflows.workflow import Workflow


class Catalog:
    """What an app can run. A job is found by its key, or by its class name where only one has it."""

    def __init__(self, things: Iterable[object] = ()) -> None:
        self.jobs: dict[str, JobInfo] = {}
        self.workflows: dict[str, Workflow] = {}
        for thing in things:
            self.add(thing)

    @classmethod
    def gathered(cls, things: Iterable[object]) -> tuple[Catalog, list[str]]:
        """What can be used of them, and a sentence for each that cannot."""
        found, problems = cls(), []
        for thing in things:
            try:
                found.add(thing)
            except (TypeError, KlassdError) as error:
                problems.append(str(error))
        return found, problems

    def add(self, thing: object) -> None:
        """A job class, an ``@job`` function, a container, a workflow, or a module or package (``"its.name"`` or itself) to
        look for jobs in."""
        if isinstance(thing, Workflow):
            self._add_workflow(thing)
        elif isinstance(thing, ModuleType | str):
            for info in jobs_in(thing):
                self._add_job(info)
        else:
            self._add_job(job_info(thing))

    def _add_job(self, info: JobInfo) -> None:
        other = self.jobs.get(info.key)
        if other is not None and (other.source != info.source or other.container != info.container):
            raise ConfigurationError(
                f"two jobs have the key {info.key!r}: {other.source} and {info.source}; give one another key="
            )
        self.jobs[info.key] = info

    def _add_workflow(self, workflow: Workflow) -> None:
        if self.workflows.get(workflow.name, workflow) is not workflow:
            raise ConfigurationError(f"two workflows are named {workflow.name!r}; rename one")
        self.workflows[workflow.name] = workflow

    def names(self) -> list[str]:
        """Every name that may be asked for, workflows first."""
        return [*sorted(self.workflows), *sorted(self._short(key) for key in self.jobs)]

    def find(self, name: str) -> JobInfo | Workflow:
        """By workflow name, job key or class name. Raises ``UnknownName`` with the names that look alike."""
        if name in self.workflows:
            return self.workflows[name]
        if name in self.jobs:
            return self.jobs[name]
        short = [info for key, info in self.jobs.items() if self._class_name(info) == name]
        if len(short) == 1:
            return short[0]
        if short:
            raise UnknownName("job", name, [info.key for info in short], len(self.jobs))
        raise UnknownName("job or workflow", name, self._near(name), len(self.names()))

    def _near(self, name: str) -> list[str]:
        by_lower = {known.lower(): known for known in self.names()}
        return [by_lower[near] for near in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]

    def _short(self, key: str) -> str:
        name = self._class_name(self.jobs[key])
        alone = sum(self._class_name(info) == name for info in self.jobs.values()) == 1
        return name if alone and name not in self.workflows else key

    @staticmethod
    def _class_name(info: JobInfo) -> str:
        return info.name

"""Klassd Workflows: background jobs and workflows in plain Python.

The public names are loaded on first use (PEP 562): importing this package costs a worker nothing it does not need.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from klassd.workflows.app import App as App
    from klassd.workflows.artifacts import Artifact as Artifact
    from klassd.workflows.client import Client as Client
    from klassd.workflows.containers import Container as Container
    from klassd.workflows.containers import FileOutput as FileOutput
    from klassd.workflows.context import JobContext as JobContext
    from klassd.workflows.errors import InvalidInput as InvalidInput
    from klassd.workflows.errors import InvalidWorkflow as InvalidWorkflow
    from klassd.workflows.errors import JobCancelled as JobCancelled
    from klassd.workflows.errors import KlassdError as KlassdError
    from klassd.workflows.errors import PermanentError as PermanentError
    from klassd.workflows.executors.local import LocalExecutor as LocalExecutor
    from klassd.workflows.job import Grow as Grow
    from klassd.workflows.job import Job as Job
    from klassd.workflows.job import Resources as Resources
    from klassd.workflows.job import Retry as Retry
    from klassd.workflows.job import job as job
    from klassd.workflows.pods import Pod as Pod
    from klassd.workflows.services import Http as Http
    from klassd.workflows.services import ServiceNode as ServiceNode
    from klassd.workflows.services import Tcp as Tcp
    from klassd.workflows.workflow import Node as Node
    from klassd.workflows.workflow import Workflow as Workflow
    from klassd.workflows.workflow import call as call
    from klassd.workflows.workflow import not_ as not_

_WHERE = {
    "App": "app",
    "Artifact": "artifacts",
    "Client": "client",
    "Container": "containers",
    "FileOutput": "containers",
    "Grow": "job",
    "Http": "services",
    "InvalidInput": "errors",
    "InvalidWorkflow": "errors",
    "Job": "job",
    "JobCancelled": "errors",
    "JobContext": "context",
    "KlassdError": "errors",
    "LocalExecutor": "executors.local",
    "Node": "workflow",
    "PermanentError": "errors",
    "Pod": "pods",
    "Resources": "job",
    "Retry": "job",
    "ServiceNode": "services",
    "Tcp": "services",
    "Workflow": "workflow",
    "call": "workflow",
    "job": "job",
    "not_": "workflow",
}

__all__ = [
    "App",
    "Artifact",
    "Client",
    "Container",
    "FileOutput",
    "Grow",
    "Http",
    "InvalidInput",
    "InvalidWorkflow",
    "Job",
    "JobCancelled",
    "JobContext",
    "KlassdError",
    "LocalExecutor",
    "Node",
    "PermanentError",
    "Pod",
    "Resources",
    "Retry",
    "ServiceNode",
    "Tcp",
    "Workflow",
    "__version__",
    "call",
    "job",
    "not_",
]


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(_WHERE))}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """The decorator ``job`` and the module it stands in have one name here, and the import system would write the module
    over the decorator whenever it loads it."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value.job if name == "job" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package

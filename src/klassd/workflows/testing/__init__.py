"""For tests: of your jobs and workflows (``context``, ``run_job``, ``run_workflow``, ``VirtualEngine``), of your own adapters
(the conformance suites), and of the engine itself (``simulate``). Every name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klassd.workflows.testing.artifacts import ArtifactStoreConformance as ArtifactStoreConformance
    from klassd.workflows.testing.clock import Deadlock as Deadlock
    from klassd.workflows.testing.clock import FakeClock as FakeClock
    from klassd.workflows.testing.clock import VirtualClock as VirtualClock
    from klassd.workflows.testing.clock import VirtualLoop as VirtualLoop
    from klassd.workflows.testing.clock import run_virtual as run_virtual
    from klassd.workflows.testing.executors import ExecutorConformance as ExecutorConformance
    from klassd.workflows.testing.inline import InlineExecutor as InlineExecutor
    from klassd.workflows.testing.kit import run_job as run_job
    from klassd.workflows.testing.kit import run_workflow as run_workflow
    from klassd.workflows.testing.memory import MemoryArtifacts as MemoryArtifacts
    from klassd.workflows.testing.proxy import FaultProxy as FaultProxy
    from klassd.workflows.testing.proxy import Faults as Faults
    from klassd.workflows.testing.proxy import Way as Way
    from klassd.workflows.testing.recording import RecordingContext as RecordingContext
    from klassd.workflows.testing.recording import context as context
    from klassd.workflows.testing.results import JobResult as JobResult
    from klassd.workflows.testing.results import NodeResult as NodeResult
    from klassd.workflows.testing.results import WorkflowResult as WorkflowResult
    from klassd.workflows.testing.script import Script as Script
    from klassd.workflows.testing.script import ScriptedFailure as ScriptedFailure
    from klassd.workflows.testing.simulation.batch import Batch as Batch
    from klassd.workflows.testing.simulation.batch import batch as batch
    from klassd.workflows.testing.simulation.shrink import shrink as shrink
    from klassd.workflows.testing.simulation.simulate import Simulated as Simulated
    from klassd.workflows.testing.simulation.simulate import simulate as simulate
    from klassd.workflows.testing.stores import StoreConformance as StoreConformance
    from klassd.workflows.testing.virtual_engine import VirtualEngine as VirtualEngine
    from klassd.workflows.testing.virtual_run import VirtualRun as VirtualRun

_WHERE = {
    "ArtifactStoreConformance": "artifacts",
    "Batch": "simulation.batch",
    "Deadlock": "clock",
    "ExecutorConformance": "executors",
    "FakeClock": "clock",
    "FaultProxy": "proxy",
    "Faults": "proxy",
    "InlineExecutor": "inline",
    "JobResult": "results",
    "MemoryArtifacts": "memory",
    "NodeResult": "results",
    "RecordingContext": "recording",
    "Script": "script",
    "ScriptedFailure": "script",
    "Simulated": "simulation.simulate",
    "StoreConformance": "stores",
    "VirtualClock": "clock",
    "VirtualEngine": "virtual_engine",
    "VirtualLoop": "clock",
    "VirtualRun": "virtual_run",
    "Way": "proxy",
    "WorkflowResult": "results",
    "batch": "simulation.batch",
    "context": "recording",
    "run_job": "kit",
    "run_virtual": "clock",
    "run_workflow": "kit",
    "shrink": "simulation.shrink",
    "simulate": "simulation.simulate",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(_WHERE))}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_WHERE)

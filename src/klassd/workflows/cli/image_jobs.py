"""Whether a pod could run each job: its module is imported as a pod imports it, alone, in a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable

import msgspec

from klassd.workflows.app import App
from klassd.workflows.errors import KlassdError

PYTHON = "python3"  # as the command of every pod says, to be found on the PATH
PATIENCE = 60.0  # seconds for one module
SLOW = 2.0  # seconds of import that deserve a remark

# What of a module's import is new to a worker; and what of it has no bytecode, so that each pod compiles it anew.
_IMPORT = """
import importlib, importlib.util, json, os, sys, time
import klassd.workflows.worker.execute, klassd.workflows.job
known, begin, error = set(sys.modules), time.perf_counter(), ""
saying, sys.stdout = sys.stdout, sys.stderr
try:
    module = importlib.import_module(sys.argv[1])
    missing = [name for name in sys.argv[2:] if not hasattr(module, name)]
    error = f"it has no {', '.join(missing)}" if missing else ""
except BaseException as raised:
    error = f"{type(raised).__name__}: {raised}"
seconds = time.perf_counter() - begin
specs = [getattr(sys.modules.get(name), "__spec__", None) for name in sys.modules]
sources = [spec.origin for spec in specs if spec and spec.has_location and (spec.origin or "").endswith(".py")]
plain = [path for path in sources if not os.path.exists(importlib.util.cache_from_source(path))]
print(json.dumps({"seconds": seconds, "error": error, "plain": len(plain), "sources": len(sources)}), file=saying)
"""


class Module(msgspec.Struct, frozen=True):
    """What came of its import."""

    seconds: float = 0.0
    error: str = ""
    plain: int = 0  # modules without bytecode
    sources: int = 0  # modules imported in all


class CheckedJob(msgspec.Struct, frozen=True):
    key: str
    source: str
    module: str
    seconds: float
    problem: str = ""


class CheckedJobs(msgspec.Struct, frozen=True):
    jobs: list[CheckedJob]
    workflows: list[str]
    modules: dict[str, Module]
    problems: list[str]


def check_jobs(app: App) -> CheckedJobs:
    """Of the app, and of the nodes of its workflows."""
    catalog, problems = app.gathered()
    sources: dict[str, str] = {}  # key -> "module:name"
    for info in catalog.jobs.values():
        try:
            sources[info.key] = info.source
        except KlassdError as error:
            problems.append(str(error))
    for workflow in catalog.workflows.values():
        try:
            sources |= {node.job: node.source for node in workflow.definition().nodes}
        except KlassdError as error:
            problems.append(str(error))
    modules = _imported(sources.values())
    jobs = [_checked(key, source, modules) for key, source in sorted(sources.items())]
    problems += [f"{name} cannot be imported in a pod: {each.error}" for name, each in modules.items() if each.error]
    return CheckedJobs(jobs, sorted(catalog.workflows), modules, problems)


def _checked(key: str, source: str, modules: dict[str, Module]) -> CheckedJob:
    name = source.partition(":")[0]
    return CheckedJob(key, source, name, modules[name].seconds, modules[name].error)


def _imported(sources: Iterable[str]) -> dict[str, Module]:
    names: dict[str, list[str]] = {}
    for module, _, name in (source.partition(":") for source in sorted(sources)):
        names.setdefault(module, []).append(name)
    return {module: import_alone(module, held) for module, held in names.items()}


def import_alone(module: str, names: list[str]) -> Module:
    try:
        done = subprocess.run(
            [PYTHON, "-c", _IMPORT, module, *names],
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return Module(error=f"there is no {PYTHON} on the PATH")
    except subprocess.TimeoutExpired:
        return Module(seconds=PATIENCE, error=f"it did not end within {PATIENCE:g} s")
    if done.returncode == 0:
        return msgspec.convert(json.loads(done.stdout.splitlines()[-1]), Module)
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
    return Module(error=f"{PYTHON} ended with {done.returncode}: {last}")

"""What a worker imports is paid for in every pod, and makes every local fork dearer."""

from __future__ import annotations

import subprocess
import sys

import pytest
from worker_help import Runner, Template, environment, order

OURS = """
artifacts context crashes errors fields frames importable job job_options options order quantities worker worker.channel
worker.child
worker.claim worker.console worker.context worker.execute worker.execution worker.forker worker.processes worker.stdio
worker.supervisor
"""
# Of the standard library, beyond what msgspec and dataclasses bring along.
LIBRARY = """
_ctypes _json _struct array atexit ctypes ctypes._endian errno gc importlib._abc importlib.util json json.decoder json.encoder
json.scanner runpy select selectors signal socket struct zlib
"""
NEVER = "asyncio logging threading subprocess multiprocessing rich argparse pathlib tempfile traceback random hashlib"


def bare() -> set[str]:
    """What an interpreter has with msgspec and dataclasses alone."""
    code = "import sys, msgspec, dataclasses, functools, types, typing; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize("job", ["Modules", "AwaitsNothing"])
def test_a_trivial_job_has_nothing_in_its_process_but_what_it_needs(runner: Runner, job: str) -> None:
    said = runner.run(order(job, module="light_jobs"), code=0)
    ours = {"klassd", "klassd.workflows", "light_jobs", *(f"klassd.workflows.{name}" for name in OURS.split())}
    surplus = set(said.value) - bare() - ours - set(LIBRARY.split())
    assert surplus == set()


@pytest.mark.parametrize("job", ["Modules", "AwaitsNothing"])
def test_what_is_dear_is_never_imported_for_a_trivial_job(runner: Runner, job: str) -> None:
    modules = {name.partition(".")[0] for name in runner.run(order(job, module="light_jobs"), code=0).value}
    assert modules.isdisjoint(NEVER.split())


def test_a_forked_job_has_no_more_than_one_of_its_own(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> None:
    template = Template(tmp_path_factory.mktemp("light"), module="light_jobs")
    try:
        forked = set(template.run(order("Modules", module="light_jobs")).value)
    finally:
        template.close()
    forked.remove("klassd.workflows.worker.rehearsal")
    assert forked <= set(runner.run(order("Modules", module="light_jobs"), code=0).value)

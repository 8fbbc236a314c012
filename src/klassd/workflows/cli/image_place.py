"""What surrounds the jobs in an image: interpreter, worker, user, what can be written, and the libraries of the stores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

import msgspec

from klassd.workflows import __version__
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.artifacts.urls import shown
from klassd.workflows.cli.image_jobs import PYTHON
from klassd.workflows.errors import KlassdError
from klassd.workflows.frames import PROTOCOL
from klassd.workflows.order import Order

PATIENCE = 60.0  # seconds for the worker's first execution
SERVER = {"kubernetes": ("lightkube", "httpx2", "yaml"), "server": ("starlette", "uvicorn")}  # extra -> what it brings


class Place(msgspec.Struct, frozen=True):
    klassd: str
    protocol: int
    python: str
    user: str
    writable: list[str]
    worker_seconds: float | None
    artifacts: str
    lacks_for_scheduler: list[str]  # extras
    problems: list[str]
    remarks: list[str]


def check_place(artifacts: str) -> Place:
    problems: list[str] = []
    remarks: list[str] = []
    python = _python(problems)
    writable = [path for path in dict.fromkeys((os.getcwd(), sys.prefix, tempfile.gettempdir())) if _can_write(path)]
    place = Place(
        klassd=__version__,
        protocol=PROTOCOL,
        python=python,
        user=f"{os.getuid()}:{os.getgid()}",
        writable=writable,
        worker_seconds=_worker(problems) if python else None,
        artifacts=_artifacts(artifacts, problems, remarks),
        lacks_for_scheduler=[extra for extra, names in SERVER.items() if not all(map(find_spec, names))],
        problems=problems,
        remarks=remarks,
    )
    remarks += _about_user(writable)
    return place


def _python(problems: list[str]) -> str:
    """The interpreter that pods find. It may be another one than this."""
    code = "import json, sys, klassd.workflows as k; print(json.dumps([sys.version.split()[0], sys.executable, k.__version__]))"
    try:
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
        version, path, klassd = json.loads(done.stdout)
    except FileNotFoundError:
        problems.append(f"there is no {PYTHON} on the PATH: a pod starts {PYTHON} -m klassd.workflows.worker run")
        return ""
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        problems.append(f"the {PYTHON} on the PATH cannot import klassd.workflows: {said}")
        return ""
    if klassd != __version__:
        problems.append(f"the {PYTHON} on the PATH ({path}) has klassd.workflows {klassd}, this command is of {__version__}")
    return f"{version} at {path}"


def _worker(problems: list[str]) -> float | None:
    """The seconds that an execution takes which does nothing: a whole one, by the entry point of a pod."""
    order = Order(
        execution_id="image-check",
        run_id="image-check",
        node="check",
        job="check",
        source="klassd.workflows.worker.rehearsal:Rehearsal",
        inputs={"number": 1},
        version=__version__,
    )
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            [PYTHON, "-m", "klassd.workflows.worker", "run"],
            input=order.encoded(),
            env={name: text for name, text in os.environ.items() if not name.startswith("KLASSD_")},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        problems.append(f"the worker did not come to an end within {PATIENCE:g} s")
        return None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        problems.append(f"the worker cannot run anything: it ended with {done.returncode}: {said[-1] if said else ''}")
        return None
    return time.perf_counter() - begin


def _can_write(path: str) -> bool:
    try:
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


def _artifacts(url: str, problems: list[str], remarks: list[str]) -> str:
    """Its client libraries; whether the store answers is a matter of credentials, which an image has none of."""
    try:
        store_for(url)
    except KlassdError as error:
        problems.append(str(error))
    if "://" not in url or url.startswith("file:"):
        remarks.append("artifacts are files, which pods do not share: give them a store that all of them reach, s3:// or gs://")
    return shown(url)


def _about_user(writable: list[str]) -> list[str]:
    code = [path for path in writable if path != tempfile.gettempdir()]
    if os.getuid() == 0:
        return ["this is root: pods are user 65532 unless they say otherwise, so the code must be readable by everybody"]
    return [f"{', '.join(code)} can be written to: a job could change the code of the next"] if code else []

"""What a worker inherits of the scheduler: an allow-list, for the scheduler's secrets are none of a job's business."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping

from klassd.workflows.executors.local.identity import COOKIE

# Where programs, libraries, certificates, files and container engines are found, and in which language. None holds a secret.
_NAMES = frozenset(
    """PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR VIRTUAL_ENV LD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR
    XDG_RUNTIME_DIR DOCKER_HOST DOCKER_CONTEXT CONTAINER_HOST""".split()  # noqa: SIM905
)
_PREFIXES = ("LC_", "KLASSD_JOB_")


def clean(environ: Mapping[str, str], names: Iterable[str], cookie: str) -> dict[str, str]:
    """The environment of a worker: the allow-list, what the user named besides, and the parent's import path."""
    allowed = _NAMES | set(names)
    kept = {name: value for name, value in environ.items() if name in allowed or name.startswith(_PREFIXES)}
    return kept | {"PYTHONPATH": os.pathsep.join(import_path()), COOKIE: cookie}


def import_path() -> list[str]:
    """Where this process finds modules, in its order, without what belongs to its interpreter: a worker may have another
    one. Holds PYTHONPATH, the script's directory and whatever the program added."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths = (os.path.abspath(path or os.curdir) for path in sys.path)
    return [path for path in dict.fromkeys(paths) if not _belongs(path, own) and os.pathsep not in path]


def _belongs(path: str, own: set[str]) -> bool:
    zipped = path.endswith(".zip") and "python3" in os.path.basename(path)
    return zipped or path in own or os.path.dirname(path) in own

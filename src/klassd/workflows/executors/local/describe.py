"""What this machine shows of an execution."""

from __future__ import annotations

from klassd.workflows.executors.local import identity
from klassd.workflows.executors.local.spool import Spool
from klassd.workflows.model.description import Description
from klassd.workflows.model.run import Execution


def description(execution: Execution, spool: Spool, path: str) -> Description:
    """``spool``: of which the head was read. ``path``: where it lies."""
    at: dict[str, str | int] = {"spool": path}
    if spool.job is not None:
        at = {"pid": spool.job.pid, **at}
    return Description(state="it has ended" if execution.status.final else _state(spool), located=at)


def _state(spool: Spool) -> str:
    if spool.gone:
        return "it is done and forgotten, or was never started"
    if spool.hello is None or spool.job is None:
        return "it is claimed, its process is not there yet"
    if spool.hello.boot != identity.boot_id():
        return "the machine was restarted"
    alive = identity.is_alive(spool.job.pid, spool.job.start)
    return f"its process {spool.job.pid} {'runs' if alive else 'has ended'}"

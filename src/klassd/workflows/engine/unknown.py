"""Executions of which nobody can tell whether they run, and when their job's ``lost_after`` gives them up.

    Unknown(since) -> lost_after passes -> the executor is asked anew -> since the same moment: told as lost
                                                                      -> otherwise it goes on, as its follower tells

Until then no other attempt starts. From then on two of them may run at once: ``ctx.fencing_token`` tells them apart.
"""

from __future__ import annotations

import logging

from klassd.workflows.model.execution import Exit, Finished, Unknown
from klassd.workflows.model.states import Cause
from klassd.workflows.ports import Clock, Executor, LosesSight

log = logging.getLogger("klassd.workflows")

AGAIN = 1.0  # seconds before an executor that did not answer is asked again


async def stays_unknown(executor: Executor, clock: Clock, execution_id: str, told: Unknown, patience: float) -> bool:
    """After that time: whether nothing was heard of it all the while. What we were told may be old by then, so it is asked."""
    await clock.sleep(patience)
    while isinstance(executor, LosesSight):
        try:
            return await executor.unknown_since(execution_id) == told.since
        except OSError as error:
            log.warning("execution %s: nobody says whether it runs, asking again in %g s: %s", execution_id, AGAIN, error)
            await clock.sleep(AGAIN)
    return False


def given_up(told: Unknown, patience: float, now: float) -> Finished:
    message = f"{told.why}; given up after {patience:g} s of that (lost_after)"
    return Finished(exit=Exit(reason=Cause.LOST, message=message), at=now)

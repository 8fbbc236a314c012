"""The local executor: a template checks the order's expiry, claims the start by a file, checks again, and starts the job.

``worker/claim.py`` and ``worker/template.py``. A template may be stopped between any two of these steps.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol_launch import (
    BLAME,
    BOTH,
    BROKE,
    CHECKED,
    DONE,
    FILE,
    FOLLOWS,
    HALTED,
    HEARD_DONE,
    HEARD_FAILED,
    HEARD_STOPPED,
    KILLED,
    KILLS,
    LATE,
    ROW,
    RUNS,
    SENT,
    STAGE,
    STARTS,
    SUCCEEDED,
    TAKEN,
    TAKEN_AND_CHECKED,
    WORK,
    Design,
    Step,
    an_hour_may_have_passed,
    answered,
    refused,
)
from protocol_search import State, put

# FILE, the spool file that is the claim
NO_FILE, CLAIM, BEGUN, EMPTY, ORPHAN = range(5)  # CLAIM: who claimed it has not started it yet; ORPHAN: and never will


def moves(s: State, d: Design) -> Iterator[Step]:
    for k in BOTH:
        if s[STAGE + k]:
            yield from template(s, k, d)
    yield from sweep(s, d)


def template(s: State, k: int, d: Design) -> Iterator[Step]:
    stage, late = s[STAGE + k], s[LATE + k] and d.expiry
    order = f"order {k + 1}"
    if stage == SENT and late:
        yield f"{order} is refused, it has expired", refused(s, k, d)
    elif stage == SENT:
        yield f"{order} is good", put(s, STAGE + k, CHECKED)
    elif stage == CHECKED:
        yield from claim(s, k, d)
    elif stage == TAKEN and late and d.expiry_again:
        yield f"{order} has expired since, the claim is withdrawn", refused(put(s, FILE, NO_FILE), k, d)
    elif stage == TAKEN:
        yield f"{order} is good after the claim too", put(s, STAGE + k, TAKEN_AND_CHECKED)
    else:
        started = put(s, FILE, BEGUN, WORK, RUNS, STARTS, s[STARTS] + 1)
        yield f"{order} starts the job", answered(started, k, FOLLOWS)


def claim(s: State, k: int, d: Design) -> Iterator[Step]:
    if s[FILE] == NO_FILE or not d.claim:
        yield f"order {k + 1} claims the start", put(s, FILE, CLAIM, STAGE + k, TAKEN)
    elif s[FILE] != CLAIM or not d.start_seen:
        yield f"order {k + 1} finds the start claimed", answered(s, k, FOLLOWS)


def sweep(s: State, d: Design) -> Iterator[Step]:
    """An hour after the outcome."""
    if s[FILE] == EMPTY and s[ROW] >= SUCCEEDED and (an_hour_may_have_passed(s) or not d.tombstone):
        yield "the emptied file is swept", put(s, FILE, NO_FILE)


def faults(s: State, d: Design) -> Iterator[Step]:
    """Supervisors are killed; the job dies with its own."""
    if not s[KILLS]:
        return
    hit = put(s, KILLS, s[KILLS] - 1, BLAME, 1)
    if s[WORK] == RUNS:
        yield "the supervisor is killed, its job with it", put(hit, WORK, KILLED)
    for k in BOTH:
        event = f"the template with order {k + 1} is killed"
        if s[STAGE + k] in (SENT, CHECKED):
            yield event, refused(hit, k, d)
        elif s[STAGE + k]:
            yield event, answered(put(hit, FILE, ORPHAN), k, FOLLOWS)


_TOLD = {DONE: HEARD_DONE, BROKE: HEARD_FAILED, HALTED: HEARD_STOPPED, KILLED: HEARD_FAILED}


def heard(s: State, d: Design) -> tuple[int, State]:
    """What its follower tells (0: nothing yet), and what it did before it said so."""
    if s[FILE] == BEGUN:
        return _TOLD.get(s[WORK], 0), s
    if s[FILE] == CLAIM:
        return 0, s
    grave = s[FILE] == NO_FILE and d.grave_first  # nothing can start any more once its claim is taken
    return HEARD_FAILED, put(s, FILE, EMPTY) if grave else s


def reaped(s: State) -> State:
    return put(s, FILE, EMPTY) if s[FILE] not in (NO_FILE, CLAIM) else s

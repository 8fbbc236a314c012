"""Pods: a launch makes a Job named after the execution, and whoever runs in a pod of it claims its start in the store.

For an executor on Kubernetes. The API server knows no leases: a request to create may take effect when its sender has long been
forgotten. The Job controller may make a second pod, people may delete the Job, and a deleted one may still finish.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol_launch import (
    BLAME,
    BOTH,
    BROKE,
    CLAIMED,
    DONE,
    FILE,
    FOLLOWS,
    HALTED,
    HANDS,
    HEARD_DONE,
    HEARD_FAILED,
    HEARD_STOPPED,
    HELD,
    KILLED,
    KILLS,
    LATE,
    NO_ROW,
    NOT_YET,
    OLD_SECRET,
    PHASE,
    ROW,
    RUNS,
    STAGE,
    STALE,
    STARTS,
    STOP,
    SUCCEEDED,
    UNRUN,
    WAITING,
    WHO,
    WORK,
    Design,
    Step,
    answered,
    refused,
)
from protocol_search import State, put

# FILE, the Job object; WAITING: its pods that have not started
NO_JOB, JOB, DELETING = range(3)
ANSWERED, UNHEARD = 1, 2  # HELD: the answer is on its way to the pod, or is lost
ENDED = (DONE, BROKE, HALTED, KILLED)


def moves(s: State, d: Design) -> Iterator[Step]:
    for k in BOTH:
        if s[STAGE + k]:
            yield from create(s, k, d)
    if s[WAITING] and s[FILE] == JOB:
        yield pod_claims(s, d) if d.claim else pod_starts(put(s, WAITING, s[WAITING] - 1))
    if s[HELD] and s[FILE] == JOB:  # one that is told to end asks no more
        yield pod_starts(s) if s[HELD] == ANSWERED else pod_claims_again(s, d)
    if s[FILE] == DELETING:
        yield from deletion(s)
    for i in BOTH:
        if s[PHASE + i] == FOLLOWS and s[STOP + i] and s[FILE] == JOB and s[WORK] == NOT_YET:
            yield f"{WHO[i]} deletes the Job", put(s, FILE, DELETING)
    yield from clean_up(s, d)


def create(s: State, k: int, d: Design) -> Iterator[Step]:
    if d.expiry and s[LATE + k]:
        yield f"request {k + 1} is too old to take effect", refused(s, k, d)
    elif s[FILE] == NO_JOB:
        made = put(s, FILE, JOB, WAITING, 1, OLD_SECRET, s[STALE + k])
        yield f"request {k + 1} creates the Job", answered(made, k, FOLLOWS)
    elif d.named:
        yield f"request {k + 1} finds the Job: 409", answered(s, k, FOLLOWS)
    else:
        yield f"request {k + 1} creates another Job", answered(put(s, WAITING, min(2, s[WAITING] + 1)), k, FOLLOWS)


def pod_claims(s: State, d: Design) -> Step:
    """In one transaction of the store; the answer is on its way then."""
    asked = put(s, WAITING, s[WAITING] - 1)
    if s[OLD_SECRET]:
        return "a pod's secret is not known", put(asked, UNRUN, 1)
    if s[CLAIMED] or over(s):
        return "a pod is refused the start", asked
    return "a pod is granted the start", put(asked, CLAIMED, 1, HELD, ANSWERED)


def pod_claims_again(s: State, d: Design) -> Step:
    if d.repeatable and not over(s):
        return "the pod is granted the start again", put(s, HELD, ANSWERED)
    return "the pod is refused the start", put(s, HELD, 0)


def over(s: State) -> bool:
    return s[ROW] == NO_ROW or s[ROW] >= SUCCEEDED


def pod_starts(s: State) -> Step:
    return "a pod starts the job", put(s, HELD, 0, CLAIMED, 1, WORK, RUNS, STARTS, s[STARTS] + 1)


def deletion(s: State) -> Iterator[Step]:
    if s[WORK] == RUNS:
        yield "the deleted pod is killed", put(s, WORK, KILLED)
    else:
        yield "the Job is gone", put(s, FILE, NO_JOB, WAITING, 0, HELD, 0)


def clean_up(s: State, d: Design) -> Iterator[Step]:
    """The TTL, counted from the stored outcome, and longer than a request may take."""
    stored = s[ROW] >= SUCCEEDED or not d.outcome_before_reap
    old = not any(s[STAGE + k] for k in BOTH) or not d.tombstone
    if s[FILE] == JOB and s[WORK] in ENDED and stored and old:
        yield "the TTL removes the Job", put(s, FILE, NO_JOB, WAITING, 0)


def faults(s: State, d: Design) -> Iterator[Step]:
    if s[KILLS] and s[FILE] == JOB:
        hit = put(s, KILLS, s[KILLS] - 1)
        if s[WAITING] < 2:
            yield "the Job controller makes another pod", put(hit, WAITING, s[WAITING] + 1)
        if s[WORK] == RUNS:
            yield "the pod is evicted", put(hit, WORK, KILLED, BLAME, 1)
        if s[HELD]:
            yield "the pod that may start is evicted", put(hit, HELD, 0, BLAME, 1)
    if s[HANDS] and s[FILE] == JOB:
        yield "somebody deletes the Job", put(s, HANDS, s[HANDS] - 1, FILE, DELETING, BLAME, 1)
    if s[HELD] == ANSWERED:
        yield "the answer to the pod is lost", put(s, HELD, UNHEARD)


_TOLD = {DONE: HEARD_DONE, BROKE: HEARD_FAILED, HALTED: HEARD_STOPPED, KILLED: HEARD_FAILED}


def heard(s: State, d: Design) -> tuple[int, State]:
    if s[FILE] == NO_JOB:
        return HEARD_FAILED, put(s, CLAIMED, 1) if d.claim and d.grave_first else s
    if s[CLAIMED] and s[WORK] == NOT_YET and not s[HELD]:
        return HEARD_FAILED, s  # the claim is a grave: whoever told so before could not store it, or its pod is gone
    if s[UNRUN] and not s[WAITING]:
        return HEARD_FAILED, s
    if s[FILE] == DELETING and not d.dead_before_told:
        return HEARD_FAILED, s
    return _TOLD.get(s[WORK], 0), s


def reaped(s: State) -> State:
    return s  # sets the TTL, see ``clean_up``

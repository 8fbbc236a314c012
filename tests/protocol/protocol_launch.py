"""The launch protocol as the engine does it: one execution, two schedulers, whatever may happen to them.

    take the run -> commit STARTING -> send the order -> follow -> store the outcome -> reap

Each branch below is one step between two awaits of the engine's keeper (with its launcher, listener and stopper) or of its
scheduler. Time is not counted: a lease runs out when it pleases, an order expires when it pleases, but no order is good for
longer than the lease it was sent under (what ``protocol_lease.py`` shows with clocks). Where the job really runs is the
executor's part: ``protocol_local.py``, ``protocol_pods.py``.

There is no second attempt here, and none is needed: it is decided in the transaction that makes this one final, so attempts
cannot overlap if nothing of an execution runs, or can start, once it is final.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from protocol_search import Model, State, put

# What stands in the store
ROW, CANCEL, LEASE = range(3)
NO_ROW, STARTING, RUNNING, SUCCEEDED, FAILED, STOPPED = range(6)
NOBODY, LIVE, OUT = range(3)  # the lease of the run's owner, by the store's clock

# What is so, whatever anybody knows: the job, and how often it was started
WORK, STARTS = 3, 4
NOT_YET, RUNS, DONE, BROKE, HALTED, KILLED = range(6)  # KILLED leaves no record; the others but NOT_YET and RUNS do

# The executor's own, see there
FILE, CLAIMED, WAITING, BLAME = 5, 6, 7, 8  # BLAME: a process was killed or an object removed from outside

# How much may still go wrong
CRASHES, LAPSES, KILLS, HANDS = 9, 10, 11, 12

# Two schedulers. MINE: its epoch is the run's; SAFE: it takes its lease for good; STOP: it wants the execution stopped
PHASE, MINE, SAFE, STOP = 13, 15, 17, 19
IDLE, DOWN, BEGINS, DUE, IN_DOUBT, ASKS, FOLLOWS, HEARD_DONE, HEARD_FAILED, HEARD_STOPPED, REAPS = range(
    11
)  # IN_DOUBT: DUE, launched perhaps
HAS_RUN = frozenset({BEGINS, DUE, IN_DOUBT, ASKS, FOLLOWS})
MAY_SEND = frozenset({BEGINS, DUE, IN_DOUBT, ASKS})
HEARD = {HEARD_DONE: SUCCEEDED, HEARD_FAILED: FAILED, HEARD_STOPPED: STOPPED}

# Two orders on their way. SENDER: the scheduler that waits for an answer, 1 or 2; 0: nobody does any more
STAGE, LATE, SENDER = 21, 23, 25
NONE, SENT, CHECKED, TAKEN, TAKEN_AND_CHECKED = range(5)

# Pods that claim their start: one that was granted it, whether the pods were refused, and whose secret is none any more
HELD, UNRUN, OLD_SECRET, STALE = 27, 28, 29, 30  # STALE: of each order
SIZE = 32

WHO = ("A", "B")
BOTH = (0, 1)
Step = tuple[str, State]


class Design(NamedTuple):
    """Ours, and for each part of it what happens without."""

    row_first: bool = True  # STARTING is committed before anything is launched
    fenced: bool = True  # the store refuses a change of an older epoch
    final_absorbs: bool = True  # and any change of a final execution
    expiry: bool = True  # an order is good only as long as the lease it was sent under
    expiry_again: bool = True  # looked at after the claim too
    lapse_noticed: bool = True  # whose lease had run out asks the store which runs are still its own
    grave_first: bool = True  # whoever says that it never started claims its start before
    doubt_followed: bool = True  # an adopted execution that is to be stopped is followed, not declared never started
    start_seen: bool = True  # "exists" counts once the other has started it, not while it might withdraw
    claim: bool = True  # only one can ever start it
    answer_awaited: bool = False  # an order is given up only when it is no good any more
    let_go_in_order: bool = False  # a run is released only when no order for it is on its way
    outcome_before_reap: bool = True
    tombstone: bool = True  # the claim outlives the outcome until every order has expired
    named: bool = True  # pods: the object's name is the execution's id
    dead_before_told: bool = True  # pods: an end is told of a terminated container only
    repeatable: bool = True  # pods: a claim that is made again by the same pod is granted again
    secrets_added: bool = True  # pods: who launches adds a secret to those of earlier owners


class Executor(Protocol):
    def moves(self, s: State, d: Design) -> Iterator[Step]: ...
    def faults(self, s: State, d: Design) -> Iterator[Step]: ...
    def heard(self, s: State, d: Design) -> tuple[int, State]: ...
    def reaped(self, s: State) -> State: ...


def model(
    executor: Executor, design: Design, *, crashes: int = 3, lapses: int = 1, kills: int = 1, hands: int = 0, leaps: bool = True
) -> Model:
    start = put((0,) * SIZE, CRASHES, crashes, LAPSES, lapses, KILLS, kills, HANDS, hands, SAFE, 1, SAFE + 1, 1)

    def moves(s: State) -> Iterable[Step]:
        for i in BOTH:
            yield from scheduler(s, i, design, executor)
        yield from lease_of_the_dead(s)
        yield from orders_expire(s)
        yield from job(s)
        yield from executor.moves(s, design)

    def faults(s: State) -> Iterable[Step]:
        yield from people(s)
        for i in BOTH:
            yield from trouble(s, i, design, leaps)
        yield from executor.faults(s, design)

    return Model(start, moves, faults, wrong, over)


# -- a scheduler ------------------------------------------------------------------------------------------------------


def scheduler(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    who, phase = WHO[i], s[PHASE + i]
    if phase == DOWN:
        yield f"{who} is started again", put(s, PHASE + i, IDLE)
        return
    if not s[SAFE + i]:
        yield renewal(s, i, d)
    yield from STEPS[phase](s, i, d, executor)
    if phase in HAS_RUN and s[CANCEL] and s[MINE + i] and not s[STOP + i]:
        yield f"{who} hears of the request to cancel", put(s, STOP + i, 1)


def take_over(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    if s[ROW] >= SUCCEEDED or s[LEASE] == LIVE or not s[SAFE + i]:
        return
    if i and s[ROW] == NO_ROW and s[LEASE] == NOBODY and s[PHASE] == IDLE:
        return  # whoever is the first is called A: half the states
    phase = {NO_ROW: BEGINS, STARTING: IN_DOUBT, RUNNING: FOLLOWS}[s[ROW]]
    taken = put(s, LEASE, LIVE, MINE + i, 1, MINE + 1 - i, 0, PHASE + i, phase, STOP + i, s[CANCEL])
    yield f"{WHO[i]} takes the run", taken


def begin(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    if not d.row_first:
        yield from launch(s, i, d, executor)
    elif not accepted(s, i, d):
        yield f"{WHO[i]}: STARTING is refused, another has the run", let_go(s, i)
    else:
        yield f"{WHO[i]} commits STARTING", put(s, ROW, STARTING, PHASE + i, DUE)


def launch(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    """What the store says it starts, unless it is to be stopped before. Under a lease that is safe only."""
    who = WHO[i]
    if s[STOP + i]:
        if s[PHASE + i] == IN_DOUBT and d.doubt_followed:
            yield f"{who} follows what was launched perhaps", put(s, PHASE + i, FOLLOWS)
        else:
            yield f"{who}: stopped before it started", put(s, PHASE + i, HEARD_STOPPED)
    elif s[SAFE + i]:
        for k in BOTH:
            if s[STAGE + k] == NONE:
                sent = put(s, STAGE + k, SENT, LATE + k, 0, SENDER + k, i + 1, PHASE + i, ASKS)
                yield f"{who} sends order {k + 1}", sent if d.secrets_added else with_a_new_secret(sent, k)
                break


def with_a_new_secret(s: State, k: int) -> State:
    other = 1 - k
    stale = s[STAGE + other] != NONE
    return put(s, STALE + k, 0, STALE + other, int(stale), OLD_SECRET, int(s[FILE] != 0))


def no_answer(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    """The executor gives up waiting: the order may have been lost, or be under way still."""
    for k in BOTH:
        if s[SENDER + k] == i + 1 and (s[LATE + k] or not d.answer_awaited):
            yield f"{WHO[i]} hears nothing of order {k + 1}", not_launched(put(s, SENDER + k, 0), i, d)


def not_launched(s: State, i: int, d: Design) -> State:
    """Try again, unless it is to be stopped: then whether anything was started, now or earlier, is for a follower to say."""
    if s[STOP + i]:
        return put(s, PHASE + i, FOLLOWS if d.grave_first else HEARD_STOPPED)
    return put(s, PHASE + i, IN_DOUBT if s[ROW] else BEGINS)


def follow(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    who = WHO[i]
    heard, after = executor.heard(s, d)
    if heard:
        heard = HEARD_STOPPED if heard == HEARD_FAILED and s[STOP + i] else heard
        yield f"{who} hears: {('done', 'failed', 'stopped')[heard - HEARD_DONE]}", put(after, PHASE + i, heard)
    if s[STARTS] and s[ROW] == STARTING:
        if accepted(s, i, d):
            yield f"{who} commits RUNNING", put(s, ROW, RUNNING)
        else:
            yield f"{who}: RUNNING is refused, another has the run", let_go(s, i)
    if s[STOP + i] and s[WORK] == RUNS:
        yield f"{who} stops the job", put(s, WORK, HALTED)
    if s[ROW] == NO_ROW:  # only where it launches before it commits
        yield f"{who} commits STARTING", put(s, ROW, STARTING)


def store_outcome(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    status = HEARD[s[PHASE + i]]
    if not d.outcome_before_reap and s[STARTS] and s[FILE]:
        yield f"{WHO[i]} reaps it", executor.reaped(s)
    if accepted(s, i, d):
        said = ("SUCCEEDED", "FAILED", "STOPPED")[status - SUCCEEDED]
        yield f"{WHO[i]} commits {said}", put(s, ROW, status, PHASE + i, REAPS)
    else:
        yield f"{WHO[i]}: the outcome is refused", let_go(s, i)


def reap(s: State, i: int, d: Design, executor: Executor) -> Iterator[Step]:
    yield f"{WHO[i]} reaps it", let_go(executor.reaped(s), i)


STEPS = {
    IDLE: take_over,
    BEGINS: begin,
    DUE: launch,
    IN_DOUBT: launch,
    ASKS: no_answer,
    FOLLOWS: follow,
    HEARD_DONE: store_outcome,
    HEARD_FAILED: store_outcome,
    HEARD_STOPPED: store_outcome,
    REAPS: reap,
}


def accepted(s: State, i: int, d: Design) -> bool:
    return bool(s[MINE + i] or not d.fenced) and (s[ROW] < SUCCEEDED or not d.final_absorbs)


def let_go(s: State, i: int) -> State:
    gone = put(s, PHASE + i, IDLE, STOP + i, 0, MINE + i, 0, SAFE + i, 1)
    for k in BOTH:
        if s[SENDER + k] == i + 1:
            gone = put(gone, SENDER + k, 0)
    return gone


# -- leases and orders ------------------------------------------------------------------------------------------------


def renewal(s: State, i: int, d: Design) -> Step:
    renewed = put(s, SAFE + i, 1)
    if s[MINE + i]:
        return f"{WHO[i]} renews its lease in time for its run", put(renewed, LEASE, LIVE)
    if d.lapse_noticed:
        return f"{WHO[i]} renews its lease and hears that another has the run", let_go(renewed, i)
    return f"{WHO[i]} renews its lease", renewed


def lease_of_the_dead(s: State) -> Iterator[Step]:
    if s[LEASE] == LIVE and not s[MINE] and not s[MINE + 1]:
        yield "the lease of the one that crashed runs out", run_out(s)


def run_out(s: State) -> State:
    """Every order sent under it has expired, and those of earlier leases had before."""
    out = put(s, LEASE, OUT)
    for k in BOTH:
        if NONE < s[STAGE + k] < TAKEN_AND_CHECKED:
            out = put(out, LATE + k, 1)
    return out


def an_hour_may_have_passed(s: State) -> bool:
    """Every lease and every order of before has run out, and whoever held one knows it by its own clock."""
    fresh = any(NONE < s[STAGE + k] < TAKEN_AND_CHECKED and not s[LATE + k] for k in BOTH)
    return not fresh and not any(s[PHASE + i] in MAY_SEND and s[SAFE + i] for i in BOTH)


def orders_expire(s: State) -> Iterator[Step]:
    for k in BOTH:
        if NONE < s[STAGE + k] < TAKEN_AND_CHECKED and not s[LATE + k]:
            yield f"order {k + 1} expires", put(s, LATE + k, 1)


def answered(s: State, k: int, phase: int) -> State:
    """The order is dealt with; whoever waits for the answer has it."""
    done = put(s, STAGE + k, NONE, LATE + k, 0, SENDER + k, 0)
    return put(done, PHASE + s[SENDER + k] - 1, phase) if s[SENDER + k] else done


def refused(s: State, k: int, d: Design) -> State:
    """Nothing came of this order."""
    done = put(s, STAGE + k, NONE, LATE + k, 0, SENDER + k, 0)
    return not_launched(done, s[SENDER + k] - 1, d) if s[SENDER + k] else done


# -- what happens outside ---------------------------------------------------------------------------------------------


def job(s: State) -> Iterator[Step]:
    if s[WORK] == RUNS:
        yield "the job returns", put(s, WORK, DONE)
        yield "the job raises", put(s, WORK, BROKE)


def people(s: State) -> Iterator[Step]:
    if not s[CANCEL] and s[ROW] < SUCCEEDED:
        if s[LEASE] == NOBODY and s[ROW] == NO_ROW:
            yield "somebody cancels the run that is queued", put(s, CANCEL, 1, ROW, STOPPED)
        else:
            yield "somebody asks to cancel", put(s, CANCEL, 1)


def trouble(s: State, i: int, d: Design, leaps: bool) -> Iterator[Step]:
    who, phase = WHO[i], s[PHASE + i]
    if phase == DOWN:
        return
    if s[CRASHES] and phase != IDLE:
        yield f"{who} is killed", put(let_go(s, i), PHASE + i, DOWN, CRASHES, s[CRASHES] - 1)
        busy = d.let_go_in_order and i + 1 in s[SENDER : SENDER + 2]
        if s[MINE + i] and s[LEASE] == LIVE and not busy:
            yield f"{who} ends in order and releases the run", put(let_go(s, i), LEASE, NOBODY, CRASHES, s[CRASHES] - 1)
    if s[LAPSES] and s[MINE + i] and s[LEASE] == LIVE:
        yield f"{who} is paused, and its lease runs out", put(run_out(s), SAFE + i, 0, LAPSES, s[LAPSES] - 1)
        if leaps:
            yield f"the store's clock leaps, and {who} does not know", put(s, LEASE, OUT, LAPSES, s[LAPSES] - 1)


# -- the promises -----------------------------------------------------------------------------------------------------


def wrong(s: State) -> str:
    row, work = s[ROW], s[WORK]
    if s[STARTS] > 1:
        return "the execution was started twice"
    if row < SUCCEEDED:
        return ""
    if work == RUNS:
        return "the execution is final and its job runs"
    if row == SUCCEEDED and work != DONE:
        return "it is called succeeded, and did not return"
    if row == FAILED and work == DONE and not s[BLAME]:
        return "its work was finished, and is called failed"
    if row == FAILED and work == NOT_YET and not s[BLAME]:
        return "it is called failed, and nothing of it was ever started or killed"
    if row == STOPPED and not s[CANCEL]:
        return "it is called stopped, and nobody asked for it"
    if row == STOPPED and work == DONE and not s[BLAME]:
        return "its work was finished, and is called stopped"
    return ""


def over(s: State) -> bool:
    return s[ROW] >= SUCCEEDED and s[WORK] != RUNS

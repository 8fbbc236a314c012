"""Hand-over with clocks: A holds the lease and acts, the store decides when it has run out, B takes over.

``engine/lease.py``. Seconds are whole. Messages take as long as they like, A may be paused anywhere; all monotonic clocks
run at the same pace, wall clocks do not. An act is an order to start something: it is decided, it travels, it takes effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocol_search import Model, State, put

NOW, GRANTED, EPOCH, UNTIL, RENEWAL, ASKED, ACT, EXPIRES, WRITE, BROKEN, BEHIND, LEFT = range(12)
NONE, UNDER_WAY, ANSWERED, TOO_LATE = range(4)  # RENEWAL; and NONE, UNDER_WAY of ACT and WRITE
STARTED_BY_BOTH, WRITTEN_BY_THE_OLD = 1, 2
A, B = 1, 2
TTL, LAST = 3, 10
NEVER = 0
Step = tuple[str, State]


class Rules(NamedTuple):
    from_the_question: bool = True  # the holder counts its lease from when it asked, not from when it heard
    monotonic: bool = True  # and by a clock that nobody sets
    expiry: bool = True  # an act carries the end of the lease it was decided under
    fenced: bool = True  # the store compares epochs
    lapse_noticed: bool = True  # an answer that comes too late is heard as such
    margin: bool = True  # decides nothing in the last third


def model(rules: Rules) -> Model:
    start = put((0,) * 12, GRANTED, TTL, EPOCH, A, UNTIL, TTL, LEFT, 1)

    def moves(s: State) -> Iterable[Step]:
        if s[NOW] < LAST:
            yield "a second passes", put(s, NOW, s[NOW] + 1)
        yield from renewing(s, rules)
        yield from acting(s, rules)
        yield from writing(s, rules)
        if s[EPOCH] == A and s[NOW] >= s[GRANTED]:
            yield "B takes over, the lease has run out", put(s, EPOCH, B)

    return Model(start, moves, lambda s: clock_is_set(s, rules), wrong, lambda s: s[EPOCH] == B or s[NOW] == LAST)


def renewing(s: State, rules: Rules) -> Iterator[Step]:
    if s[RENEWAL] == NONE:
        yield "A asks to renew", put(s, RENEWAL, UNDER_WAY, ASKED, reading(s))
    elif s[RENEWAL] == UNDER_WAY:
        in_time = s[EPOCH] == A and s[NOW] < s[GRANTED]
        renewed = put(s, GRANTED, s[NOW] + TTL) if s[EPOCH] == A else s
        yield "the store renews A's lease", put(renewed, RENEWAL, ANSWERED if in_time else TOO_LATE)
    elif s[RENEWAL] == TOO_LATE and rules.lapse_noticed and s[EPOCH] == B:
        yield "A hears that it was too late and lets go", put(s, RENEWAL, NONE, ASKED, 0, UNTIL, NEVER)
    else:
        since = s[ASKED] if rules.from_the_question else reading(s)
        yield "A hears that its lease is renewed", put(s, RENEWAL, NONE, ASKED, 0, UNTIL, since + TTL)


def acting(s: State, rules: Rules) -> Iterator[Step]:
    if s[ACT] == NONE and reading(s) < s[UNTIL] - rules.margin:
        yield "A decides to start something", put(s, ACT, UNDER_WAY, EXPIRES, s[UNTIL])
    if s[ACT] == UNDER_WAY and rules.expiry and reading(s) >= s[EXPIRES]:
        yield "what A ordered has expired", put(s, ACT, NONE, EXPIRES, 0)
    elif s[ACT] == UNDER_WAY:
        yield "what A ordered starts", put(s, ACT, NONE, EXPIRES, 0, BROKEN, STARTED_BY_BOTH if s[EPOCH] == B else 0)


def writing(s: State, rules: Rules) -> Iterator[Step]:
    if s[WRITE] == NONE and s[UNTIL] != NEVER:
        yield "A sends a change", put(s, WRITE, UNDER_WAY)
    elif s[WRITE] == UNDER_WAY:
        old = s[EPOCH] == B and not rules.fenced
        yield "A's change reaches the store", put(s, WRITE, NONE, BROKEN, WRITTEN_BY_THE_OLD if old else s[BROKEN])


def clock_is_set(s: State, rules: Rules) -> Iterator[Step]:
    if s[LEFT]:
        yield "A's wall clock is set back by two seconds", put(s, LEFT, 0, BEHIND, 0 if rules.monotonic else 2)


def reading(s: State) -> int:
    return s[NOW] - s[BEHIND]


def wrong(s: State) -> str:
    return ("", "A starts something that B owns", "the store takes a change of an old owner")[s[BROKEN]]

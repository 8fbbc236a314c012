"""What is searched: our design within its bounds, and each design that lacks a part of it, with what the search finds there.

``docs/protocol.md`` has these tables.
"""

from __future__ import annotations

from typing import NamedTuple

import protocol_lease
import protocol_local
import protocol_pods
from protocol_launch import Design, model
from protocol_lease import Rules
from protocol_search import Model

TWICE = "the execution was started twice"
ALIVE = "the execution is final and its job runs"
NOT_FAILED = "its work was finished, and is called failed"
NEVER_BEGUN = "it is called failed, and nothing of it was ever started or killed"
BOTH_START = "A starts something that B owns"
OLD_CHANGE = "the store takes a change of an old owner"


class Row(NamedTuple):
    without: str
    finds: str
    model: Model


def local(crashes: int = 1, lapses: int = 1, kills: int = 1, **design: bool) -> Model:
    return model(protocol_local, Design(**design), crashes=crashes, lapses=lapses, kills=kills)


def pods(crashes: int = 1, lapses: int = 1, kills: int = 1, hands: int = 1, leaps: bool = True, **design: bool) -> Model:
    """A request to create a Job never expires."""
    more = {"expiry": False, "tombstone": False} | design
    return model(protocol_pods, Design(**more), crashes=crashes, lapses=lapses, kills=kills, hands=hands, leaps=leaps)


def pods_without_claim(**design: bool) -> Model:
    """Nothing but the name of the Job: then requests must not outlive their deadline, nobody may touch the pods or a clock."""
    more = {"claim": False, "expiry": True, "tombstone": True, "answer_awaited": True, "let_go_in_order": True} | design
    return pods(kills=0, hands=0, leaps=False, **more)


OURS = {
    "local, three crashes, a lapse": lambda: local(crashes=3, kills=0),
    "local, a crash, a lapse, a killed supervisor": local,
    "local, two lapses": lambda: local(crashes=0, lapses=2, kills=0),
    "pods, three crashes": lambda: pods(crashes=3, lapses=0),
    "pods, a lapse": lambda: pods(crashes=0),
    "pods without a claim, left alone": pods_without_claim,
    "lease": lambda: protocol_lease.model(Rules()),
}

LOCAL = (
    Row("STARTING is committed before the order is sent", ALIVE, local(row_first=False)),
    Row("the store refuses changes of an older epoch", NEVER_BEGUN, local(fenced=False)),
    Row("only one can claim the start", ALIVE, local(claim=False)),
    Row("an order expires with its lease", ALIVE, local(expiry=False)),
    Row("its expiry is looked at after the claim too", ALIVE, local(expiry_again=False)),
    Row("a scheduler whose lease had run out asks which runs are still its own", ALIVE, local(lapse_noticed=False)),
    Row("who says that it never started claims its start first", ALIVE, local(grave_first=False)),
    Row("what an earlier owner launched perhaps is followed, not called never started", ALIVE, local(doubt_followed=False)),
    Row("a claim counts when its job has started, not while it may be withdrawn", NEVER_BEGUN, local(start_seen=False)),
    Row("the outcome is stored before its files are emptied", NOT_FAILED, local(outcome_before_reap=False)),
    Row("the claim outlives the outcome by an hour", ALIVE, local(tombstone=False)),
)
PODS = (
    Row("the Job is named after the execution", TWICE, pods_without_claim(named=False)),
    Row("an end is told of a terminated container only", ALIVE, pods(dead_before_told=False)),
    Row("the TTL is set when the outcome is stored", NOT_FAILED, pods(outcome_before_reap=False)),
    Row("the worker claims its start", TWICE, pods(claim=False)),
    Row("a claim that is made again by the same pod is granted again", NEVER_BEGUN, pods(repeatable=False)),
    Row("who launches adds a secret to those of earlier owners, and replaces none", NEVER_BEGUN, pods(secrets_added=False)),
    Row("who says that it never started claims its start first", ALIVE, pods(grave_first=False)),
    Row("what an earlier owner launched perhaps is followed, not called never started", ALIVE, pods(doubt_followed=False)),
)
LEASE = (
    Row("a lease counts from when its holder asked", BOTH_START, protocol_lease.model(Rules(from_the_question=False))),
    Row("by a clock that nobody sets", BOTH_START, protocol_lease.model(Rules(monotonic=False))),
    Row("an order carries the end of the lease", BOTH_START, protocol_lease.model(Rules(expiry=False))),
    Row("the store compares epochs", OLD_CHANGE, protocol_lease.model(Rules(fenced=False))),
    Row("a renewal that comes too late is heard as such", BOTH_START, protocol_lease.model(Rules(lapse_noticed=False))),
)
# Nothing is found without these alone: the other parts hold what they hold.
SECOND_LINES = {
    "final_absorbs": lambda: local(crashes=0, kills=0, final_absorbs=False),
    "margin": lambda: protocol_lease.model(Rules(margin=False)),
}

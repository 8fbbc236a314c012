"""One seed, one course of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from klassd.workflows.testing.simulation.invariants import Violation
from klassd.workflows.testing.simulation.world import World

STEPS = 2000


@dataclass(frozen=True)
class Simulated:
    """``events``: how many things happened; ``seconds``: of virtual time. ``violations``: promises that were broken, none or
    the first. ``faults``: what went wrong, by kind."""

    seed: object
    trace_hash: str
    events: int
    seconds: float
    faults: Counter[str]
    runs: int
    items: int  # of the workload
    violations: tuple[Violation, ...]
    trace: tuple[str, ...]


def simulate(
    seed: object,
    *,
    steps: int = STEPS,
    schedulers: int | None = None,
    rates: Mapping[str, float] = MappingProxyType({}),
    without: Collection[str] = (),
    skip: Collection[int] = (),
    items: Collection[int] | None = None,
    script: Mapping[str, str] = MappingProxyType({}),
    claims: bool | None = None,
) -> Simulated:
    """Run the real engine and client through ``steps`` events with faults, then without any until all is done.

    The same arguments give the same course of events, entry by entry. ``schedulers``: how many; the seed decides if not given.
    ``rates``: how much more or less often than usual a kind of fault strikes. ``without``: kinds of faults that do not happen,
    ``skip``: single faults that do not, by their number. ``items``: the only items of the workload that are enqueued.
    ``script``: a fault by the text of an event of the trace, right after which it strikes whoever did that: the first time, and
    every few times after. ``claims``: whether pods ask the store for their start; the seed decides if not given.
    """
    world = World(
        seed, schedulers=schedulers, rates=rates, without=without, skip=skip, items=items, script=script, claims=claims
    )
    world.run(steps)
    violations = (world.violation,) if world.violation else ()
    return Simulated(
        seed=seed,
        trace_hash=world.trace.hash(),
        events=len(world.trace),
        seconds=world.loop.time(),
        faults=+world.faults.fired,
        runs=len(world.data.runs),
        items=world.workload.items,
        violations=violations,
        trace=tuple(world.trace.entries),
    )

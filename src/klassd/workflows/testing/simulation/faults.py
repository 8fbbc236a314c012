"""What can go wrong, by name, how often, and what did go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from random import Random
from types import MappingProxyType

# Drawn for each call: (kind, chance). Two more are drawn where they belong: a spec that is refused for good, an application
# that dies with the answer.
STORE = (
    ("store.error_before", 0.006),  # nothing of it was done
    ("store.error_after", 0.008),  # it was done, and the answer was lost
    ("store.stall", 0.004),  # the answer takes seconds, up to twice a lease
)
HINTS = (("hint.lost", 0.15), ("hint.late", 0.05), ("hint.twice", 0.05))
LAUNCH = (
    ("launch.error_before", 0.03),
    ("launch.error_after", 0.05),
    ("launch.stall", 0.02),
    ("launch.delayed", 0.03),  # no quota, no room
)
HAND_OVER = (("launch.half", 0.03),)  # where pods claim their start: made, but the secret for that did not get there
CLAIM = (("claim.error_before", 0.05), ("claim.error_after", 0.08), ("claim.stall", 0.03))
STOP = (("stop.lost", 0.1), ("stop.error", 0.05))
REAP = (("reap.error_before", 0.03), ("reap.error_after", 0.03))
FOLLOW = (("follow.cut", 0.02), ("follow.cut_unheard", 0.02), ("follow.twice", 0.04), ("follow.stall", 0.01))

# Drawn between any two events: (kind, weight).
CHAOS = MappingProxyType(
    {
        "scheduler.crash": 6,
        "scheduler.pause": 5,
        "scheduler.close": 2,  # in order, as for an upgrade
        "clock.jump": 3,
        "lease.flap": 2,  # the scheduler cannot renew for a while
        "store.partition": 2,  # of one scheduler
        "cluster.partition": 2,
        "pod.second": 6,
        "pod.evicted": 3,
        "pod.oom": 3,
        "pod.deleted": 3,
        "node.partition": 3,  # out of sight, and back
        "node.dead": 2,
        "quota": 2,
        "log.rotated": 4,
    }
)
_BY_CALL = (*STORE, *HINTS, *LAUNCH, *HAND_OVER, *CLAIM, *STOP, *REAP, *FOLLOW)
KINDS: tuple[str, ...] = (*(kind for kind, _ in _BY_CALL), *CHAOS, "launch.refused", "app.crash")

Draw = tuple[tuple[str, float], ...]


class Faults:
    """``rates``: how much more or less often than usual, by kind. ``without``: kinds that never happen. ``skip``: those of
    these numbers do not happen (faults are counted from 0 in the order they strike)."""

    def __init__(
        self,
        rng: Random,
        rates: Mapping[str, float] = MappingProxyType({}),
        without: Collection[str] = (),
        skip: Collection[int] = (),
    ) -> None:
        self.rng = rng
        self.on = True
        self.fired: Counter[str] = Counter()
        self._rates, self._without, self._skip = rates, frozenset(without), frozenset(skip)
        self._weather = rng.choice((0.3, 1.0, 1.0, 2.0))
        self.struck = 0

    def draw(self, kinds: Draw) -> str | None:
        """Which of these strikes this call, if any."""
        drawn = self.rng.random() / self._weather
        for kind, chance in kinds:
            chance *= self._rates.get(kind, 1.0)
            if drawn < chance:
                return kind if self.strikes(kind) else None
            drawn -= chance
        return None

    def chaos(self) -> str:
        """One of ``CHAOS``, which may strike."""
        weights = [weight * self._rates.get(kind, 1.0) for kind, weight in CHAOS.items()]
        return self.rng.choices(list(CHAOS), weights)[0]

    def strikes_now(self, rng: Random, kind: str, chance: float) -> bool:
        """One kind alone, of a chance drawn elsewhere."""
        return rng.random() < chance * self._rates.get(kind, 1.0) and self.strikes(kind)

    def strikes(self, kind: str) -> bool:
        """Whether it happens: called where it can."""
        if not self.on or kind in self._without:
            return False
        number = self.struck
        self.struck += 1
        if number in self._skip:
            return False
        self.fired[kind] += 1
        return True

    def missed(self, kind: str) -> None:
        """It struck, and there was nothing for it to strike."""
        self.fired[kind] -= 1

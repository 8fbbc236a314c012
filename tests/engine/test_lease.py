import asyncio
from typing import Any

import pytest

from klassd.workflows.engine.lease import Lease


class Hand:
    """A clock that moves by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Renews:
    def __init__(self, clock: Hand, takes: float = 0.0) -> None:
        self.clock, self.takes = clock, takes

    async def renew(self, owner: str, ttl: float) -> bool:
        self.clock.at += self.takes
        return True


def lease(clock: Hand, takes: float = 0.0) -> Lease:
    store: Any = Renews(clock, takes)
    return Lease(store, clock, "me", ttl=15.0)


@pytest.mark.fault("A17", "B2")
def test_nothing_is_started_once_two_thirds_of_the_lease_have_passed() -> None:
    clock = Hand()
    mine = lease(clock)
    assert not mine.safe
    asyncio.run(mine.renew())
    clock.at += 9.9
    assert mine.safe
    clock.at += 0.2
    assert not mine.safe


@pytest.mark.fault("C5")
def test_the_lease_counts_from_the_asking_because_the_answer_may_have_taken_long() -> None:
    clock = Hand()
    mine = lease(clock, takes=11.0)
    asyncio.run(mine.renew())
    assert not mine.safe


def test_whoever_waits_for_a_safe_lease_goes_on_after_the_renewal() -> None:
    async def main() -> None:
        clock = Hand()
        mine = lease(clock)
        waiting = asyncio.ensure_future(mine.held())
        await asyncio.sleep(0)
        assert not waiting.done()
        await mine.renew()
        await waiting

    asyncio.run(main())

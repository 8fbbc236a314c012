import asyncio
from typing import Any

import pytest

from klassd.workflows.engine.lease import Lease
from klassd.workflows.errors import StoreError


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
        self.in_time = True

    async def renew(self, owner: str, ttl: float) -> bool:
        self.clock.at += self.takes
        return self.in_time


def lease(clock: Hand, takes: float = 0.0) -> Lease:
    store: Any = Renews(clock, takes)
    return Lease(store, clock, "me", ttl=15.0, lapsed=nothing)


async def nothing() -> None:
    pass


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


@pytest.mark.parametrize("remembered", [True, False])
def test_a_lease_that_had_run_out_is_safe_only_after_it_was_found_out_what_was_lost(remembered: bool) -> None:
    async def main() -> None:
        clock = Hand()
        store = Renews(clock)
        tries: list[bool] = []

        async def ask() -> None:
            tries.append(mine.safe)
            if len(tries) == 1:
                raise StoreError("the disk is full")

        mine = Lease(store, clock, "me", ttl=15.0, lapsed=ask)  # type: ignore[arg-type]
        await mine.renew()
        clock.at += 20.0
        store.in_time = not remembered  # else the store takes it for a new owner's
        with pytest.raises(StoreError):
            await mine.renew()
        store.in_time = True  # it has just been renewed
        assert not mine.safe
        await mine.renew()
        assert tries == [False, False] and mine.safe
        await mine.renew()
        assert len(tries) == 2

    asyncio.run(main())
